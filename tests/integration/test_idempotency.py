"""`Idempotency-Key` on `/chat`: repeated, a request is answered as it was first, and is billed once."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.own_valkey import OwnValkey
from support.server import served
from support.sse import events
from support.stack import Stack, another_router


def key() -> dict[str, str]:
    return {"idempotency-key": secrets.token_hex(8)}


def requests_billed(stack: Stack, tenant: str) -> int:
    with stack.client(tenant) as client:
        total = client.get(f"/tenant/{tenant}/usage").raise_for_status().json()["total"]
    return int(total["requests"])


def streamed(client: httpx.Client, body: dict[str, Any], headers: dict[str, str]) -> list[tuple[str, Any]]:
    with client.stream("POST", "/chat", json=body | {"stream": True}, headers=headers) as answer:
        return list(events(answer))


def test_a_repetition_gets_the_first_answer_and_costs_nothing(stack: Stack) -> None:
    tenant, mark, body = stack.new_tenant("again"), key(), {"query": "tokens:5 hello", "session_id": "s1"}
    with stack.client(tenant) as client:
        first = client.post("/chat", json=body, headers=mark)
        asked = stack.engine_requests()
        again = client.post("/chat", json=body, headers=mark)
        changing = {"latency_ms", "queue_ms"}
        assert {k: v for k, v in again.json().items() if k not in changing} == {
            k: v for k, v in first.json().items() if k not in changing
        }
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert first.headers["x-request-id"] != again.headers["x-request-id"]
        assert stack.engine_requests() == asked
        assert client.post("/chat", json=body, headers=key()).json()["request_id"] != first.json()["request_id"]
    assert requests_billed(stack, tenant) == 2


def test_a_stream_is_repeated_as_a_stream_or_whole(stack: Stack) -> None:
    tenant, mark, body = stack.new_tenant("again"), key(), {"query": "tokens:5 hello"}
    with stack.client(tenant) as client:
        first = streamed(client, body, mark)
        again = streamed(client, body, mark)
        whole = client.post("/chat", json=body, headers=mark).json()
    text = "".join(data["text"] for name, data in first if name == "token")
    assert [data["text"] for name, data in again if name == "token"] == [text]
    assert whole["answer"] == text
    for name in ("meta", "citations", "usage"):
        assert dict(again)[name] == dict(first)[name]
    assert [name for name, _ in again] == ["meta", "token", "citations", "usage", "done"]
    assert whole["usage"] == {k: v for k, v in dict(first)["usage"].items() if k != "cost_usd_estimate"}
    assert requests_billed(stack, tenant) == 1


def test_another_body_under_the_same_key_is_422(stack: Stack) -> None:
    tenant, mark = stack.new_tenant("again"), key()
    with stack.client(tenant) as client:
        client.post("/chat", json={"query": "tokens:2 hello"}, headers=mark).raise_for_status()
        for body in ({"query": "tokens:2 hello!"}, {"query": "tokens:2 hello", "user_id": "u2"}):
            refused = client.post("/chat", json=body, headers=mark)
            assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_mismatch")
        named = client.post("/chat", json={"query": "tokens:2 hello", "tenant_id": tenant}, headers=mark)
        assert named.headers["idempotency-replayed"] == "true"


def test_while_the_first_runs_a_repetition_is_409_and_when_its_client_left_it_is_a_new_request(stack: Stack) -> None:
    tenant, mark, body = stack.new_tenant("again"), key(), {"query": "fault:stall please"}
    with stack.client(tenant) as client:
        with client.stream("POST", "/chat", json=body | {"stream": True}, headers=mark) as answer:
            coming = events(answer)
            while next(coming)[0] != "token":
                pass
            early = httpx.post(f"{stack.router}/chat", json=body, headers={"x-tenant-id": tenant, **mark})
            assert (early.status_code, early.json()["error"]["code"]) == (409, "request_in_progress")
            assert int(early.headers["retry-after"]) >= 1
            asked = stack.engine_requests()
        deadline = time.monotonic() + 5
        while True:
            with client.stream("POST", "/chat", json=body | {"stream": True}, headers=mark) as answer:
                if answer.status_code == 200:
                    assert "idempotency-replayed" not in answer.headers
                    break
            assert time.monotonic() < deadline
        assert stack.engine_requests() == asked + 1


def test_a_refusal_is_repeated_and_a_failure_is_tried_again(stack: Stack) -> None:
    tenant, mark = stack.new_tenant("again", sensitive_prompt_patterns=["no go"]), key()
    with stack.client(tenant) as client:
        first = client.post("/chat", json={"query": "no go"}, headers=mark).json()
        again = client.post("/chat", json={"query": "no go"}, headers=mark).json()
        assert (again["request_id"], again["refusal"]) == (first["request_id"], first["refusal"])
        mark = key()
        asked = stack.engine_requests()
        for number in (1, 2):
            assert client.post("/chat", json={"query": "fault:http500"}, headers=mark).status_code == 502
            assert stack.engine_requests() == asked + number


def test_a_repetition_passes_the_rules_of_today(stack: Stack) -> None:
    tenant, mark, body = stack.new_tenant("again"), key(), {"query": "tokens:3 tell me of apples"}
    with stack.client(tenant) as client:
        assert client.post("/chat", json=body, headers=mark).json()["refusal"] is None
        changed = client.patch(f"/tenant/{tenant}/config", json={"sensitive_prompt_patterns": ["apples"]})
        assert changed.status_code == 200, changed.text
        again = client.post("/chat", json=body, headers=mark).json()
        assert again["refusal"]["reason"] == "sensitive_prompt"
        assert "apples" not in again["answer"]


def test_the_key_of_another_principal_opens_nothing(stack: Stack) -> None:
    tenant, mark, body = stack.new_tenant("again"), key(), {"query": "tokens:3 my own"}
    with stack.client(tenant) as client:
        first = client.post("/chat", json=body, headers=mark).json()
        made = client.post(f"/tenant/{tenant}/keys", json={"label": "other", "role": "tenant_user"}).json()
    with httpx.Client(base_url=stack.router, headers={"authorization": f"Bearer {made['key']}"}) as other:
        answer = other.post("/chat", json=body, headers=mark)
        assert "idempotency-replayed" not in answer.headers
        assert answer.json()["request_id"] != first["request_id"]


@pytest.mark.parametrize("bad", ["", "x" * 256, "with space"])
def test_a_key_that_is_none_is_refused(stack: Stack, bad: str) -> None:
    with stack.client(stack.new_tenant("again")) as client:
        assert client.post("/chat", json={"query": "hi"}, headers={"idempotency-key": bad}).status_code == 422


def test_without_valkey_a_request_with_a_key_is_not_answered_and_one_without_is(stack: Stack, tmp_path: Path) -> None:
    tenant, mark = stack.new_tenant("again"), key()
    with ExitStack() as running:
        valkey = OwnValkey(tmp_path)
        running.callback(valkey.close)
        valkey.start()
        url = running.enter_context(served(another_router(stack, valkey.url)))
        valkey.kill()
        with httpx.Client(base_url=url, headers={"x-tenant-id": tenant}) as client:
            deadline = time.monotonic() + 5
            while (refused := client.post("/chat", json={"query": "hi"}, headers=mark)).status_code == 200:
                assert time.monotonic() < deadline
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "dependency_unavailable")
            assert "retry-after" in refused.headers
            assert client.post("/chat", json={"query": "hi"}).status_code == 200
