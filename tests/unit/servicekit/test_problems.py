"""Every code has a status, and every refusal has the one envelope."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict

from contracts.errors import FAULTS, RateLimitedError, error_classes
from observability.prometheus import PrometheusMetrics
from servicekit.edge import dress
from servicekit.problems import STATUS, error_from_envelope


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int


def service() -> FastAPI:
    app = FastAPI()

    @app.post("/number")
    async def number(body: Body, times: Annotated[int, Query(ge=1)] = 1) -> int:
        return body.number * times

    @app.get("/limited")
    async def limited() -> None:
        raise RateLimitedError("slower", details={"limit": "x", "headers": {"ratelimit-limit": "3"}}, retry_after_s=1.2)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret")

    dress(app, checks={}, metrics=PrometheusMetrics(), max_body_bytes=100, checks_within_s=1)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=service(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as found:
        yield found


def test_the_table_from_code_to_status_is_complete() -> None:
    assert set(STATUS) == set(error_classes())


def test_a_failure_is_counted_against_availability_if_it_is_told_with_5xx() -> None:
    assert {code for code, status in STATUS.items() if status >= 500} == FAULTS


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("POST", "/number", b'{"number": "x"}', 422, "invalid_request"),
        ("POST", "/number", b'{"number": 1, "more": 2}', 422, "invalid_request"),
        ("POST", "/number", b"{not json", 422, "invalid_request"),
        ("POST", "/number", b'{"number": "\xff"}', 422, "invalid_request"),
        ("POST", "/number?times=0", b'{"number": 1}', 422, "invalid_request"),
        ("POST", "/number", b'{"number": 1}' + b" " * 100, 413, "body_too_large"),
        ("GET", "/number", b"", 405, "method_not_allowed"),
        ("GET", "/nowhere", b"", 404, "not_found"),
        ("GET", "/limited", b"", 429, "rate_limited"),
        ("GET", "/broken", b"", 500, "internal_error"),
    ],
)
async def test_every_failure_has_the_envelope(
    client: httpx.AsyncClient, method: str, path: str, content: bytes, status: int, code: str
) -> None:
    answer = await client.request(
        method, path, content=content, headers={"x-request-id": "r-1", "content-type": "application/json"}
    )
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == "r-1" == answer.headers["x-request-id"]
    assert "a secret" not in answer.text


async def test_a_chunked_body_is_bounded_as_well(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 10

    answer = await client.post("/number", content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


async def test_a_limit_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    answer = await client.get("/limited")
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["ratelimit-limit"] == "3"
    assert answer.json()["error"]["details"] == {"limit": "x"}


def test_a_callees_error_is_raised_again_under_its_own_code() -> None:
    body = b'{"error": {"code": "prompt_too_long", "message": "m", "request_id": "r"}}'
    assert error_from_envelope(422, body, service="s").code == "prompt_too_long"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b'{"error": {"code": "unauthenticated", "message": "m", "request_id": "r"}}'],
)
def test_a_callee_that_breaks_or_distrusts_us_is_an_upstream_error(body: bytes) -> None:
    assert error_from_envelope(500, body, service="s").code == "upstream_error"
