"""Whatever a client writes into `traceparent`, what is handed on is a valid one or none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability.record import RequestRecord
from observability.traceparent import TraceParent, new_span_id, new_trace_id, read_traceparent
from observability.tracing import CURRENT, HandingOn, span, trace_headers

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"
FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")


def test_a_valid_one_is_handed_on_as_it_came() -> None:
    found = HandingOn().begin(RequestRecord("r", "POST", "/chat"), {"traceparent": VALID, "tracestate": "a=1,b=2"})
    assert found is not None
    assert found.headers() == {"traceparent": VALID, "tracestate": "a=1,b=2"}


@pytest.mark.parametrize(
    "offered",
    [
        None,
        "",
        "00",
        VALID.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{VALID}-more",
        f"{VALID}\r\nx-evil: 1",
        f" {VALID}",
        f"01-{TRACE}-{SPAN}-01-" + "x" * 300,
    ],
)
def test_anything_else_is_none(offered: str | None) -> None:
    assert read_traceparent(offered, None) is None


def test_a_later_version_is_read_as_this_one() -> None:
    assert read_traceparent(f"01-{TRACE}-{SPAN}-03-more", None) == TraceParent(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize("state", ["a=1\r\nx: y", "x" * 513, "ä=1", ""])
def test_a_state_that_could_break_a_header_is_left_out(state: str) -> None:
    found = read_traceparent(VALID, state)
    assert found is not None
    assert "tracestate" not in found.headers()


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"), st.text())
def test_what_is_handed_on_is_of_the_form(offered: str, state: str) -> None:
    found = read_traceparent(offered, state)
    if found is not None:
        headers = found.headers()
        assert FORM.fullmatch(headers["traceparent"])
        assert all(char.isprintable() and char.isascii() for char in headers.get("tracestate", ""))


def test_ids_that_are_made_are_valid() -> None:
    made = TraceParent(new_trace_id(), new_span_id(), sampled=False)
    assert read_traceparent(made.headers()["traceparent"], None) == made


def test_outside_of_a_trace_there_are_no_headers_and_a_span_is_nothing() -> None:
    CURRENT.set(None)
    with span("x"):
        assert trace_headers() == {}
