"""Every error of Atrium's has a place in OpenAI's terms, and keeps its own name beside it."""

from __future__ import annotations

import pytest

from contracts.errors import ErrorBody, error_classes
from router.domain.openai_errors import openai_error
from servicekit.problems import STATUS


def an_error(code: str, **details: object) -> ErrorBody:
    return ErrorBody(code=code, message="no", request_id="r1", details=details)


@pytest.mark.parametrize("code", sorted(error_classes()))
def test_every_error_has_openais_fields_and_our_code(code: str) -> None:
    told = openai_error(STATUS[code], an_error(code), {})
    assert told.status == (400 if STATUS[code] == 422 else STATUS[code])
    error = told.content["error"]
    assert set(error) == {"message", "type", "param", "code", "atrium"}
    assert error["type"] == "server_error" if told.status >= 500 else error["type"] != "server_error"
    assert error["atrium"] == {"code": code, "request_id": "r1", "details": {}}


@pytest.mark.parametrize(
    ("limit", "headers", "type_", "code", "again"),
    [
        ("requests_per_minute", {"retry-after": "3"}, "requests", "rate_limit_exceeded", True),
        ("concurrent_requests", {"retry-after": "1"}, "requests", "rate_limit_exceeded", True),
        ("tokens_per_minute", {"retry-after": "3"}, "tokens", "rate_limit_exceeded", True),
        ("tokens_per_minute", {}, "tokens", "rate_limit_exceeded", False),
        ("monthly_budget_usd", {"retry-after": "9"}, "insufficient_quota", "insufficient_quota", False),
    ],
)
def test_a_limit_says_which_and_whether_waiting_helps(
    limit: str, headers: dict[str, str], type_: str, code: str, again: bool
) -> None:
    told = openai_error(429, an_error("rate_limited", limit=limit), headers)
    assert (told.content["error"]["type"], told.content["error"]["code"]) == (type_, code)
    assert ("x-should-retry" not in told.headers) is again


def test_the_field_at_fault_is_the_parameter() -> None:
    faults = [{"path": "messages[0].content", "reason": "no"}]
    assert openai_error(422, an_error("invalid_request", faults=faults), {}).content["error"]["param"] == (
        "messages[0].content"
    )
    assert openai_error(422, an_error("invalid_request", faults=[]), {}).content["error"]["param"] is None
