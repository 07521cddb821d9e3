"""A log record is one line of JSON, whatever is in it."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from observability.logging import MAX_TEXT, JsonFormatter
from observability.middleware import safe_request_id
from observability.record import RequestRecord


def rendered(**fields: object) -> str:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "request", None, None)
    record.fields = fields
    return JsonFormatter("router").format(record)


@settings(deadline=None)
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


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from('ab"\\\\\r\n\x1b\x85\u2028\u2029\x00\x0b\x7f\u202e\u2066{}[]:,')) | st.text())
def test_no_value_of_a_client_makes_a_second_line_of_a_request_record_or_another_field(value: str) -> None:
    value = value.encode("utf-8", "replace").decode()
    record = RequestRecord(safe_request_id(value), "POST", value, tenant_id="t1", user_id=value, session_id=value)
    record.route = record.refusal_reason = record.query = record.answer = value
    record.chunk_ids = record.citations = [value, value]
    line = rendered(**record.fields())
    assert not set(line) & set("\r\n\x1b\x0b\x00")
    assert len(line.splitlines()) == 1
    assert not re.search("[\x7f-\x9f]", line)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", line)  # what follows would be shown in front
    found = json.loads(line)
    assert found.keys() == {"ts", "level", "service", "logger", "message", *record.fields()}
    assert found["chunk_ids"] == [value, value]


def test_a_request_record_has_the_fields_that_were_agreed_on() -> None:
    agreed = "tenant_id route latency_ms chunk_ids citations refusal_reason token_usage cost_usd_estimate"
    assert set(agreed.split()) <= RequestRecord("r", "POST", "/chat").fields().keys()


def test_prompt_and_answer_are_no_fields_unless_they_were_allowed_and_are_redacted_then() -> None:
    record = RequestRecord("r", "POST", "/chat")
    assert not {"query", "answer", "token_gaps", "tenant_exists"} & record.fields().keys()
    record.query, record.answer = "mail alice@example.com", "to [her]"
    found = json.loads(rendered(**record.fields()))
    assert (found["query"], found["answer"]) == ("mail [EMAIL]", "to [her]")


CARD = "4111 1111 1111 1111"


def logged(message: str, *args: object, exc_info: Any = None, **fields: object) -> dict[str, Any]:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, message, args, exc_info)
    record.fields = fields
    found = json.loads(JsonFormatter("router").format(record))
    assert isinstance(found, dict)
    return found


def test_personal_data_and_credentials_are_redacted_wherever_a_record_has_text() -> None:
    found = logged(
        "for %s",
        "alice@example.com",
        user_id="bob@example.com",
        deep=[{"reason": (CARD, {"more": "sk-proj-abcdefghij0123456789"})}],
        error=ValueError("postgresql://atrium:hunter2@db/atrium"),
        number=7,
        nothing=None,
    )
    assert found["message"] == "for [EMAIL]"
    assert found["user_id"] == "[EMAIL]"
    assert found["deep"] == [{"reason": ["[CARD]", {"more": "[API_KEY]"}]}]
    assert found["error"] == "postgresql://atrium:[API_KEY]@db/atrium"
    assert (found["number"], found["nothing"]) == (7, None)


def test_the_text_of_an_exception_is_redacted() -> None:
    error = RuntimeError("no account of alice@example.com at 203.0.113.7")
    found = logged("it broke", exc_info=(RuntimeError, error, None))
    assert "no account of [EMAIL] at [IP_ADDRESS]" in found["exception"]


def test_an_exception_quotes_nothing_of_a_value_that_was_not_accepted() -> None:
    value = "my {} plan,\nover two lines, input_type=str, {}".format(*["secret"[:]] * 2)
    try:
        TypeAdapter(int).validate_python(value)
    except ValidationError as error:
        found = logged("it broke", exc_info=(ValidationError, error, error.__traceback__))
    assert "Input should be a valid integer" in found["exception"]
    assert "my secret" not in str(found)
    assert "over two lines" not in found["exception"].split("ValidationError: ")[1]


def test_an_object_that_only_its_text_describes_is_redacted() -> None:
    @dataclass
    class Account:
        owner: str

    assert "alice" not in str(logged("x", account=Account("alice@example.com"), deep={"more": Account("alice@e.com")}))


def test_identifiers_and_addresses_of_our_machines_stay_as_they_are() -> None:
    ids = {"request_id": "4111111111111111", "tenant_id": "t1", "chunk_ids": ["a@b.co#1"], "citations": ["a@b.co#1"]}
    assert logged("x", **ids, address="10.0.0.1:6379").items() >= {**ids, "address": "10.0.0.1:6379"}.items()
    assert logged("x", url="redis://:hunter2@10.0.0.1/0")["url"] == "redis://:[API_KEY]@10.0.0.1/0"


@pytest.mark.parametrize("cut", range(24))
def test_a_long_text_is_cut_and_nothing_of_what_is_redacted_shows_at_the_cut(cut: int) -> None:
    found = logged("x", path="/" + "x y " * (MAX_TEXT // 4) + CARD[cut:] + CARD * 100, twice="a@b.co " * MAX_TEXT)
    assert MAX_TEXT - 300 < len(found["path"]) <= MAX_TEXT + 30
    assert found["path"].endswith("…")
    assert "11" not in found["path"]
    assert "@" not in found["twice"]


def test_what_is_nested_without_end_becomes_a_text() -> None:
    nested: list[Any] = ["a@b.co"]
    for _ in range(500):
        nested = [nested]
    assert "a@b.co" not in str(logged("x", nested=nested))


@pytest.mark.parametrize(
    ("offered", "kept"), [("abc-1.2_3", "abc-1.2_3"), ("a\r\nb: c", "abc"), ("x" * 300, "x" * 128)]
)
def test_a_request_id_is_made_safe(offered: str, kept: str) -> None:
    assert safe_request_id(offered) == kept


@pytest.mark.parametrize("offered", [None, "", "\r\n", "äöü"])
def test_without_a_usable_request_id_one_is_made(offered: str | None) -> None:
    assert len(safe_request_id(offered)) == 32
