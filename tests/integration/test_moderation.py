"""A router with a moderation service (imitated, on a real socket): prompts and answers, whole and streamed, and what of
it stands in the audit log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.imitation_moderation import UNFIT, ImitationModeration, right, running_moderation, status
from support.server import served
from support.sse import events
from support.stack import Stack, another_router

BOTH = {"moderation": {"stages": ["input", "output"]}}


@pytest.fixture(scope="module")
def imitation() -> Iterator[ImitationModeration]:
    with running_moderation() as running:
        yield running


@pytest.fixture(scope="module")
def moderated(stack: Stack, valkey_url: str, imitation: ImitationModeration) -> Iterator[str]:
    """The URL of a router whose service takes prompts and answers with UNFIT in them for violence."""
    settings = {"moderation_url": f"{imitation.url}/v1/moderations", "moderation_api_key": "sk-1"}
    with served(another_router(stack, valkey_url, **settings)) as url:
        yield url


@pytest.fixture
def client(stack: Stack, moderated: str, imitation: ImitationModeration) -> Iterator[httpx.Client]:
    """Of a tenant whose prompts and answers are moderated."""
    imitation.answer = right
    tenant = stack.new_tenant("moderated")
    with httpx.Client(base_url=moderated, headers={"x-tenant-id": tenant}, timeout=30) as client:
        answer = client.patch(f"/tenant/{tenant}/config", json=BOTH)
        assert answer.status_code == 200, answer.text
        yield client


def tenant_of(client: httpx.Client) -> str:
    return client.headers["x-tenant-id"]


def ask(client: httpx.Client, query: str) -> httpx.Response:
    return client.post("/chat", json={"query": query})


def streamed(client: httpx.Client, query: str) -> list[tuple[str, dict[str, Any]]]:
    with client.stream("POST", "/chat", json={"query": query, "stream": True}) as answer:
        assert answer.status_code == 200
        return list(events(answer))


def hits(client: httpx.Client, count: int) -> list[dict[str, Any]]:
    """The tenant's rule hits, once there are so many."""
    until = time.monotonic() + 10
    while True:
        items = client.get(f"/tenant/{tenant_of(client)}/audit?limit=100").json()["items"]
        found = [item for item in items if item["action"] == "rule.hit"]
        if len(found) >= count or time.monotonic() > until:
            return found
        time.sleep(0.1)


def test_a_prompt_that_is_flagged_reaches_no_engine_and_stands_in_the_audit_log(
    stack: Stack, client: httpx.Client
) -> None:
    asked = stack.engine_requests()
    answer = ask(client, f"A question with {UNFIT}")
    assert answer.status_code == 200
    refusal = answer.json()["refusal"]
    assert (refusal["reason"], refusal["rule_id"], refusal["stage"]) == ("moderation", "moderation:violence", "input")
    assert stack.engine_requests() == asked
    [hit] = hits(client, 1)
    assert hit["resource"] == "rule/moderation:violence"
    assert hit["request_id"] == answer.headers["x-request-id"]
    assert (hit["details"]["stage"], hit["details"]["config_version"]) == ("input", 2)
    assert UNFIT not in str(hit)


def test_a_good_answer_is_the_same_whole_and_streamed(client: httpx.Client) -> None:
    query = "Say something friendly, tokens:120"
    whole = ask(client, query).json()
    seen = streamed(client, query)
    assert whole["refusal"] is None
    assert len(whole["answer"]) > 400
    assert "".join(data["text"] for name, data in seen if name == "token") == whole["answer"]
    assert [name for name, _ in seen][-3:] == ["citations", "usage", "done"]


def test_an_answer_that_is_flagged_ends_with_a_refusal_before_the_segment_and_is_billed(client: httpx.Client) -> None:
    """The imitated engine quotes the prompt: so the prompt's own verdict is turned off here."""
    client.patch(f"/tenant/{tenant_of(client)}/config", json={"moderation": {"stages": ["output"]}})
    config = client.get(f"/tenant/{tenant_of(client)}/config").json()
    assert config["moderation"] == {"stages": ["output"], "on_failure": "closed"}
    query = "good words " * 40 + UNFIT + " tokens:200"
    seen = streamed(client, query)
    text = "".join(data["text"] for name, data in seen if name == "token")
    assert text
    assert UNFIT not in text
    assert seen[-1][0] == "refusal"
    assert (seen[-1][1]["rule_id"], seen[-1][1]["stage"]) == ("moderation:violence", "output")
    [usage] = [data for name, data in seen if name == "usage"]
    assert usage["completion_tokens"] >= len(text.split())
    whole = ask(client, query).json()
    assert whole["refusal"] == seen[-1][1]
    assert whole["usage"]["completion_tokens"] > 0
    assert [hit["details"]["stage"] for hit in hits(client, 2)] == ["output"] * 2


def test_without_a_verdict_a_closed_tenant_gets_an_error_and_an_open_one_the_answer(
    stack: Stack, client: httpx.Client, imitation: ImitationModeration
) -> None:
    asked = stack.engine_requests()
    imitation.answer = status(400)
    answer = ask(client, "A question")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "moderation_unavailable")
    assert answer.headers["retry-after"]
    assert stack.engine_requests() == asked
    client.patch(f"/tenant/{tenant_of(client)}/config", json={"moderation": {"stages": ["output"]}})
    seen = streamed(client, "A question")
    assert [name for name, _ in seen] == ["meta", "error"]
    assert seen[-1][1]["error"]["code"] == "moderation_unavailable"
    client.patch(f"/tenant/{tenant_of(client)}/config", json={"moderation": {"on_failure": "open"}})
    assert ask(client, "A question").json()["answer"]
    metrics = client.get("/metrics").text
    assert 'atrium_moderation_total{outcome="let_through",stage="output"}' in metrics


def test_a_platform_without_a_service_refuses_a_config_that_asks_for_one(stack: Stack, client: httpx.Client) -> None:
    tenant = tenant_of(client)
    with httpx.Client(base_url=stack.router, headers={"x-tenant-id": tenant}, timeout=30) as unmoderated:
        refused = unmoderated.put(f"/tenant/{tenant}/config", json=BOTH)
        assert refused.status_code == 422
        assert refused.json()["error"]["details"]["faults"] == [
            {"path": "moderation.stages", "reason": "this platform has no moderation service: leave the stages empty"}
        ]
        # What another router has stored is loaded here, and fails as it says.
        time.sleep(1.0)  # as long as it may take until every router knows
        answer = ask(unmoderated, "A question")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "moderation_unavailable")


def test_what_is_redacted_of_a_prompt_is_not_told_to_the_moderation_service(
    client: httpx.Client, imitation: ImitationModeration
) -> None:
    client.patch(f"/tenant/{tenant_of(client)}/config", json={"redact": {"input": ["email"]}}).raise_for_status()
    before = len(imitation.asked)
    ask(client, "tokens:5 write to carol@example.com please")
    texts = [question.text for question in imitation.asked[before:]]
    assert texts[0].startswith("tokens:5 write to [EMAIL]")
    assert not any("carol" in text for text in texts)


def test_a_repeated_answer_is_moderated_once_more_when_the_config_has_changed_and_only_then(
    client: httpx.Client, imitation: ImitationModeration
) -> None:
    path = f"/tenant/{tenant_of(client)}/config"
    client.patch(path, json={"moderation": {"stages": []}}).raise_for_status()
    body, mark = {"query": f"tokens:20 some {UNFIT}"}, {"idempotency-key": "k1"}
    assert UNFIT in client.post("/chat", json=body, headers=mark).json()["answer"]
    before = len(imitation.asked)
    client.patch(path, json={"moderation": {"stages": ["output"]}}).raise_for_status()
    refused = client.post("/chat", json=body, headers=mark).json()
    assert refused["refusal"]["rule_id"] == "moderation:violence"
    assert UNFIT not in refused["answer"]
    assert len(imitation.asked) > before
    body, mark = {"query": "tokens:20 some good words"}, {"idempotency-key": "k2"}
    first = client.post("/chat", json=body, headers=mark).json()
    asked = len(imitation.asked)
    assert client.post("/chat", json=body, headers=mark).json()["answer"] == first["answer"]
    assert len(imitation.asked) == asked
