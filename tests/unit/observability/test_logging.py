"""A log record is one line of JSON, whatever is in it."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.logging import JsonFormatter
from observability.middleware import safe_request_id


def rendered(**fields: object) -> str:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "request", None, None)
    record.fields = fields
    return JsonFormatter("router").format(record)


@given(st.text())
def test_a_value_cannot_make_a_second_line_and_comes_back_as_it_was(value: str) -> None:
    line = rendered(user_id=value.encode("utf-8", "replace").decode())
    assert "\n" not in line
    assert "\r" not in line
    assert "\x1b" not in line
    assert json.loads(line)["user_id"] == value.encode("utf-8", "replace").decode()


def test_half_a_surrogate_pair_is_escaped_and_the_record_kept() -> None:
    line = rendered(field="a\n\ud800")
    assert line.isascii()
    assert json.loads(line)["field"] == "a\n\ud800"


@pytest.mark.parametrize(
    ("offered", "kept"), [("abc-1.2_3", "abc-1.2_3"), ("a\r\nb: c", "abc"), ("x" * 300, "x" * 128)]
)
def test_a_request_id_is_made_safe(offered: str, kept: str) -> None:
    assert safe_request_id(offered) == kept


@pytest.mark.parametrize("offered", [None, "", "\r\n", "äöü"])
def test_without_a_usable_request_id_one_is_made(offered: str | None) -> None:
    assert len(safe_request_id(offered)) == 32
