"""What a client meets at the edges of the router: deadlines, odd uploads, odd addresses, and the record in the log."""

from __future__ import annotations

import json
import logging
import time
from base64 import urlsafe_b64encode
from typing import Any

import httpx
import pytest

from contracts.retrieval import MAX_DOCUMENT_BYTES
from observability.logging import REQUEST_LOGGER, JsonFormatter
from support.server import served
from support.stack import Stack, another_router
from support.telling import told

FIELDS = {
    "tenant_id",
    "route",
    "latency_ms",
    "chunk_ids",
    "citations",
    "refusal_reason",
    "token_usage",
    "cost_usd_estimate",
    "request_id",
}


@pytest.fixture(scope="module")
def tenant(stack: Stack) -> str:
    return stack.new_tenant("edges")


@pytest.mark.parametrize("fault", ["fault:hang-before-headers", "fault:hang"])
def test_an_engine_that_hangs_is_a_504_at_the_deadline(stack: Stack, valkey_url: str, tenant: str, fault: str) -> None:
    with served(another_router(stack, valkey_url, request_timeout_s=1.0)) as url:
        answer = httpx.post(f"{url}/chat", json={"query": fault}, headers={"x-tenant-id": tenant}, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")


@pytest.mark.parametrize(
    ("files", "data", "status", "reason"),
    [
        ({"file": ("a.md", b"# A\n\nText.")}, {}, 201, ""),
        ({"file": ("a.txt", b"Text.")}, {"title": "A title", "document_id": "named"}, 201, ""),
        ({"file": ("a.exe", b"Text.")}, {}, 422, "not supported"),
        ({"file": ("a.txt", b"\xff\xfa")}, {}, 422, "UTF-8"),
        ({"file": ("a.txt", b"")}, {}, 422, "empty"),
        ({"other": ("a.txt", b"Text.")}, {}, 422, "file"),
        ({"file": ("a.txt", b"Text.")}, {"surprise": "1"}, 422, "surprise"),
        ({"file": ("a.txt", b"Text.")}, {"document_id": "../other"}, 422, "document_id"),
        ({"file": ("a.txt", b"Text.")}, {"tenant_id": "someone-else"}, 403, "another tenant"),
        ({"file": ("a.txt", b"x" * (MAX_DOCUMENT_BYTES + 1))}, {}, 413, "at most"),
    ],
)
def test_a_form_is_a_document_or_a_reason(
    stack: Stack, tenant: str, files: dict[str, Any], data: dict[str, str], status: int, reason: str
) -> None:
    with stack.client(tenant) as client:
        answer = client.post(f"/tenant/{tenant}/documents", files=files, data=data)
    assert answer.status_code == status, answer.text
    if status != 201:
        assert reason in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("application/xml", b"<a/>"),
        ("multipart/form-data; boundary=x; charset=unicode_escape", b"--x\r\n"),
        ("application/json; charset=utf-16", b"{}"),
        ("application/json", b"[]"),
        ("application/json", b"\xff"),
        ("application/json", b"{" * 10_000),
    ],
)
def test_a_body_that_is_no_document_is_a_422(stack: Stack, tenant: str, kind: str, content: bytes) -> None:
    with stack.client(tenant) as client:
        answer = client.post(f"/tenant/{tenant}/documents", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_a_large_text_in_escapes_is_as_large_as_it_is(stack: Stack, tenant: str) -> None:
    """JSON may write each letter as six bytes: the limit is on the text."""
    body = json.dumps({"title": "Cyrillic", "text": "\u0416" * 1_000 + "\n" * 400_000, "document_id": "cyrillic"})
    body = body.replace("\\n", "\\u000a")
    with stack.client(tenant) as client:
        answer = client.post(
            f"/tenant/{tenant}/documents", content=body.encode(), headers={"content-type": "application/json"}
        )
    assert answer.status_code == 202, answer.text


def test_a_refusal_is_smaller_than_what_it_refuses_and_names_the_place(stack: Stack, tenant: str) -> None:
    many = {f"field{number}": 1 for number in range(15_000)}
    with stack.client(tenant) as client:
        answer = client.post("/chat", json={"query": "", **many, "x" * 100_000: 1})
        slash = client.post("/chat/", json={"query": "hello"}, headers={"host": "evil.example"})
    assert answer.status_code == 422
    assert len(answer.content) < 20_000
    assert answer.json()["error"]["details"]["faults"][0]["path"] == "query"
    assert slash.status_code == 404


@pytest.mark.parametrize("after", ["%00", "A", "a%2fb", "x" * 64])
def test_an_odd_cursor_is_a_422(stack: Stack, after: str) -> None:
    with stack.platform() as platform:
        assert platform.get(f"/tenants?after={after}").status_code == 422


@pytest.mark.parametrize(
    "place",
    [
        ["0001-01-01T00:00:00+23:00", "u", "s"],
        ["9999-12-31T23:59:59-23:00", "u", "s"],
        ["2026-01-01T00:00:00Z", "u\x00", "s"],
        ["2026-01-01T00:00:00Z", "u", "\x00"],
        ["2026-01-01T00:00:00Z"],
        {"last_at": 1},
    ],
)
def test_a_cursor_of_sessions_that_we_did_not_make_is_a_422(stack: Stack, tenant: str, place: object) -> None:
    cursor = urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    with stack.client(tenant) as client:
        answer = client.get(f"/tenant/{tenant}/sessions", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_a_platform_key_that_names_two_tenants_is_refused(stack: Stack, tenant: str) -> None:
    with stack.platform() as platform:
        assert platform.get(f"/tenant/{tenant}/config", headers={"x-tenant-id": "other"}).status_code == 403
        assert platform.get(f"/tenant/{tenant}/config").status_code == 200


def written(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The request records, once the chat's is among them: it is written just after the answer's last byte."""
    until = time.monotonic() + 5
    while True:
        records = told(caplog, REQUEST_LOGGER)
        lines = [JsonFormatter("router").format(record) for record in records]
        if any('"path":"/chat"' in line for line in lines):
            return lines
        assert time.monotonic() < until, "no record was written"
        time.sleep(0.01)


@pytest.mark.parametrize("query", ["What does this laptop cost?", "say the secret word"])
def test_every_request_leaves_one_record_with_the_promised_fields(
    stack: Stack, caplog: pytest.LogCaptureFixture, query: str
) -> None:
    tenant = stack.new_tenant(sensitive_prompt_patterns=["secret"])
    with caplog.at_level(logging.INFO, REQUEST_LOGGER), stack.client(tenant) as client:
        answer = client.post("/chat", json={"query": query}, headers={"x-request-id": 'r "1"; -9'}).json()
        lines = written(caplog)
    [record] = [entry for line in lines if (entry := json.loads(line))["path"] == "/chat"]
    assert set(record) >= FIELDS
    assert record["request_id"] == answer["request_id"] == "r1-9"
    assert (record["tenant_id"], record["route"]) == (tenant, answer["route"])
    assert record["token_usage"] == answer["usage"]
    assert record["refusal_reason"] == (answer["refusal"] and answer["refusal"]["reason"])
    assert query not in "".join(lines)
