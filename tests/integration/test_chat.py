"""`POST /chat` through the three services and the real stores."""

from __future__ import annotations

import json

import pytest

from support.sse import events
from support.stack import Stack

OIL = (
    "# Olive oil prices\n\nThe Riverside shop sells one litre of extra virgin olive oil for 8.90 euros. "
    "The Station shop sells the same bottle for 9.40 euros."
)


@pytest.fixture(scope="module")
def tenant(stack: Stack) -> str:
    tenant = stack.new_tenant("chat")
    with stack.client(tenant) as client:
        answer = client.post(f"/tenant/{tenant}/documents", json={"title": "Olive oil", "text": OIL})
        assert answer.status_code == 201, answer.text
    return tenant


def question(tenant: str, **changes: object) -> dict[str, object]:
    return {
        "tenant_id": tenant,
        "user_id": "u123",
        "session_id": "s456",
        "query": "What is the price of olive oil at the Station shop?",
        "locale": "en-US",
        "stream": False,
    } | changes


def test_an_answer_has_everything_the_contract_names(stack: Stack, tenant: str) -> None:
    with stack.client(tenant) as client:
        answer = client.post("/chat", json=question(tenant), headers={"x-request-id": "r-77"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["request_id"], body["tenant_id"], body["session_id"]) == ("r-77", tenant, "s456")
    assert body["route"] == "PRICE_COMPARE"
    assert body["answer"]
    assert body["refusal"] is None
    assert body["citations"]
    assert "9.40 euros" in body["citations"][0]["snippet"]
    assert set(body["citations"][0]) >= {"chunk_id", "document_id", "title", "score", "snippet"}
    usage = body["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert body["cost_usd_estimate"] > 0
    assert body["latency_ms"] > 0
    assert body["config_version"] == 1
    assert {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"} <= set(answer.headers)


@pytest.mark.parametrize("asked_by", ["body", "accept"])
def test_a_stream_says_the_same_event_by_event(stack: Stack, tenant: str, asked_by: str) -> None:
    headers = {"accept": "text/event-stream"} if asked_by == "accept" else {}
    body = question(tenant, stream=asked_by == "body")
    with stack.client(tenant) as client, client.stream("POST", "/chat", json=body, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        seen = list(events(answer))
        whole = client.post("/chat", json=question(tenant)).json()
    kinds = [name for name, _ in seen]
    assert kinds[0] == "meta"
    assert kinds[-3:] == ["citations", "usage", "done"]
    assert set(kinds[1:-3]) == {"token"}
    assert "".join(data["text"] for name, data in seen if name == "token") == whole["answer"]
    found = dict(seen)
    assert found["meta"]["route"] == whole["route"]
    assert found["citations"]["citations"] == whole["citations"]
    assert found["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


def test_user_session_and_locale_may_be_left_out(stack: Stack, tenant: str) -> None:
    with stack.client(tenant) as client:
        body = client.post("/chat", json={"query": "What does olive oil cost?"}).json()
    assert body["session_id"]
    assert body["answer"]


def test_a_platform_key_may_ask_for_a_tenant(stack: Stack, tenant: str) -> None:
    with stack.platform() as platform:
        assert platform.post("/chat", json=question(tenant)).status_code == 200
        assert platform.post("/chat", json={"query": "whose?"}).status_code == 422


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"query": ""}, 422, "invalid_request"),
        ({"query": "  \n"}, 422, "invalid_request"),
        ({"query": "x" * 1_000_000}, 422, "invalid_request"),
        ({"query": None}, 422, "invalid_request"),
        ({"query": 7}, 422, "invalid_request"),
        ({"query": "half a pair: \ud800"}, 422, "invalid_request"),
        ({"query": "a\x00b"}, 422, "invalid_request"),
        ({"surprise": 1}, 422, "invalid_request"),
        ({"tenant_id": "T1"}, 422, "invalid_request"),
        ({"tenant_id": "someone-else"}, 403, "tenant_mismatch"),
        ({"locale": "not a locale"}, 422, "invalid_request"),
        ({"user_id": "a\nb"}, 422, "invalid_request"),
        ({"stream": "perhaps"}, 422, "invalid_request"),
        ({"cache_salt": "x"}, 422, "invalid_request"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_sent_on(
    stack: Stack, tenant: str, change: dict[str, object], status: int, code: str
) -> None:
    before = stack.engine_requests()
    with stack.client(tenant) as client:
        body = json.dumps(question(tenant, **change))
        answer = client.post("/chat", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    assert stack.engine_requests() == before


@pytest.mark.parametrize(
    ("tenant_header", "status", "code"),
    [
        (None, 401, "unauthenticated"),
        ("T1", 422, "invalid_request"),
        ("a" * 64, 422, "invalid_request"),
        ("nobody-here", 404, "not_found"),
    ],
)
def test_a_missing_malformed_or_unknown_tenant(stack: Stack, tenant_header: str | None, status: int, code: str) -> None:
    with stack.client(tenant_header) as client:
        answer = client.post("/chat", json={"query": "hello"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_the_engine_gets_a_salt_of_the_tenants_own(stack: Stack, tenant: str) -> None:
    other = stack.new_tenant("salt")
    salts = []
    for name in (tenant, tenant, other):
        with stack.client(name) as client:
            client.post("/chat", json={"query": "hello there"}).raise_for_status()
        salts.append(stack.last_engine_body()["cache_salt"])
    assert salts[0] == salts[1] != salts[2]
    assert tenant not in salts[0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fault", "status"), [("fault:http503", 503), ("fault:http400-context", 422)])
def test_an_engine_that_refuses_is_a_status(stack: Stack, tenant: str, fault: str, status: int, stream: bool) -> None:
    with stack.client(tenant) as client:
        answer = client.post("/chat", json=question(tenant, query=f"please {fault}", stream=stream))
    assert answer.status_code == status, answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


def test_an_engine_that_dies_midway_is_a_502_or_an_error_event(stack: Stack, tenant: str) -> None:
    with stack.client(tenant) as client:
        whole = client.post("/chat", json=question(tenant, query="please fault:die"))
        assert (whole.status_code, whole.json()["error"]["code"]) == (502, "upstream_error")
        with client.stream("POST", "/chat", json=question(tenant, query="please fault:die", stream=True)) as answer:
            seen = list(events(answer))
    assert seen[-1][0] == "error"
    assert seen[-1][1]["error"]["code"] == "upstream_error"
    assert [name for name, _ in seen].count("error") == 1
