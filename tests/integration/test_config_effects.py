"""Each of the seven config fields has its effect, on `/chat` as a client sees it."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from support.server import served
from support.sse import events
from support.stack import Stack, another_router

PRICE = "Which shop sells this laptop cheapest?"


def ask(stack: Stack, tenant: str, query: str) -> dict[str, Any]:
    with stack.client(tenant) as client:
        answer = client.post("/chat", json={"query": query})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def test_a_sensitive_pattern_refuses_with_200_and_reaches_no_engine(stack: Stack) -> None:
    tenant = stack.new_tenant(sensitive_prompt_patterns=["credit card"])
    before = stack.engine_requests()
    body = ask(stack, tenant, "What is my Credit  Card number?")
    assert body["refusal"]["reason"] == "sensitive_prompt"
    assert body["answer"] == body["refusal"]["message"]
    assert body["usage"]["total_tokens"] == 0
    assert body["cost_usd_estimate"] == 0
    assert stack.engine_requests() == before


def test_a_refusal_rule_refuses_with_its_reason_also_as_a_stream(stack: Stack) -> None:
    tenant = stack.new_tenant(refusal_rules=[{"type": "contains", "pattern": "hack", "reason": "Security violation"}])
    assert ask(stack, tenant, "How do I HACK this?")["refusal"]["reason"] == "Security violation"
    body = {"query": "hack", "stream": True}
    with stack.client(tenant) as client, client.stream("POST", "/chat", json=body) as answer:
        seen = list(events(answer))
    assert [name for name, _ in seen] == ["meta", "refusal"]
    assert seen[1][1]["reason"] == "Security violation"


def test_a_query_outside_the_allowed_routes_is_refused_politely_and_names_no_other(stack: Stack) -> None:
    tenant = stack.new_tenant(allowed_routes=["DIET_NUTRITION"])
    body = ask(stack, tenant, PRICE)
    assert (body["refusal"]["reason"], body["route"]) == ("route_not_allowed", "")
    with stack.client(tenant) as client:
        streamed = client.post("/chat", json={"query": PRICE, "stream": True}).text
    assert not any(
        name in (str(body["refusal"]) + streamed).upper() for name in ("PRICE", "DIET", "NUTRITION", "GENERAL")
    )
    assert ask(stack, tenant, "How much protein is in lentils?")["refusal"] is None


def test_a_route_that_needs_a_blocked_tool_is_refused(stack: Stack) -> None:
    finance = {
        "name": "FINANCE",
        "examples": ["What is my account balance?", "Show my last transactions."],
        "tools": ["mcp_finance"],
    }
    own = {"routes": [finance], "allowed_routes": ["FINANCE", "GENERAL"]}
    open_tenant, blocked = stack.new_tenant(**own), stack.new_tenant(**own, blocked_tools=["mcp_finance"])
    assert ask(stack, open_tenant, "What is my account balance?")["route"] == "FINANCE"
    refusal = ask(stack, blocked, "What is my account balance?")["refusal"]
    assert (refusal["reason"], refusal["rule_id"]) == ("blocked_tool", "blocked_tools")
    assert "mcp_finance" not in refusal["message"]


@pytest.mark.parametrize("limit", ["rate_limit_per_minute", "rate_limit_per_hour"])
def test_a_rate_limit_admits_exactly_its_number(stack: Stack, limit: str) -> None:
    tenant = stack.new_tenant(**{limit: 3})
    with stack.client(tenant) as client:
        answers = [client.post("/chat", json={"query": "hello"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    refused = answers[-1]
    assert refused.json()["error"]["code"] == "rate_limited"
    assert refused.json()["error"]["details"]["limit"] == limit.replace("rate_limit", "requests")
    assert int(refused.headers["retry-after"]) > 0
    assert (refused.headers["ratelimit-limit"], refused.headers["ratelimit-remaining"]) == ("3", "0")


def test_a_new_config_governs_within_a_second_and_its_version_proves_it(stack: Stack) -> None:
    tenant = stack.new_tenant()
    assert ask(stack, tenant, "open sesame")["refusal"] is None
    with stack.client(tenant) as client:
        current = client.get(f"/tenant/{tenant}/config")
        changed = current.json() | {"sensitive_prompt_patterns": ["sesame"]}
        written = client.put(f"/tenant/{tenant}/config", json=changed, headers={"if-match": current.headers["etag"]})
        assert (written.status_code, written.headers["etag"]) == (200, '"2"')
        time.sleep(1)  # the bound that is promised
        after = ask(stack, tenant, "open sesame")
        assert after["config_version"] == 2
        assert after["refusal"]["reason"] == "sensitive_prompt"
        stale = client.put(f"/tenant/{tenant}/config", json=changed, headers={"if-match": current.headers["etag"]})
        assert (stale.status_code, stale.json()["error"]["code"]) == (412, "precondition_failed")


def test_a_new_config_governs_every_replica_a_second_later(stack: Stack, valkey_url: str) -> None:
    """The write goes to one router; another one, which has the old version in memory, is asked."""
    tenant = stack.new_tenant()
    with served(another_router(stack, valkey_url)) as url:
        question = {"query": "open sesame"}
        headers = {"x-tenant-id": tenant}
        for change in range(3):
            before = httpx.post(f"{url}/chat", json=question, headers=headers).json()
            assert before["config_version"] == change + 1
            changed = {"sensitive_prompt_patterns": ["sesame"] if change % 2 == 0 else []}
            httpx.put(f"{stack.router}/tenant/{tenant}/config", json=changed, headers=headers).raise_for_status()
            time.sleep(1)  # the bound that is promised
            after = httpx.post(f"{url}/chat", json=question, headers=headers).json()
            assert after["config_version"] == change + 2
            assert (after["refusal"] is not None) == (change % 2 == 0)


def test_the_config_comes_back_as_it_was_written(stack: Stack) -> None:
    tenant = stack.new_tenant()
    written = {
        "tenant_id": tenant,
        "blocked_tools": ["mcp_finance"],
        "sensitive_prompt_patterns": ["password", "credit card"],
        "refusal_rules": [{"type": "contains", "pattern": "hack", "reason": "Security violation"}],
        "rate_limit_per_minute": 60,
        "rate_limit_per_hour": 1000,
        "allowed_routes": ["PRICE_COMPARE", "DIET_NUTRITION"],
    }
    with stack.client(tenant) as client:
        client.put(f"/tenant/{tenant}/config", json=written).raise_for_status()
        found = client.get(f"/tenant/{tenant}/config").json()
    rules = [{key: rule[key] for key in ("type", "pattern", "reason")} for rule in found["refusal_rules"]]
    assert {**{key: found[key] for key in written}, "refusal_rules": rules} == written


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": True},
        {"rate_limit_per_minute": -1},
        {"refusal_rules": [{"type": "regex", "pattern": "(", "reason": "r"}]},
        {"allowed_routes": ["NOWHERE"]},
        {"sensitive_prompt_patterns": ["a\x00b"]},
    ],
)
def test_a_bad_config_is_refused_with_place_and_reason_and_changes_nothing(
    stack: Stack, change: dict[str, Any]
) -> None:
    tenant = stack.new_tenant()
    with stack.client(tenant) as client:
        before = client.get(f"/tenant/{tenant}/config")
        answer = client.put(f"/tenant/{tenant}/config", json=before.json() | change)
        assert answer.status_code == 422
        assert next(iter(change)) in answer.json()["error"]["message"]
        after = client.get(f"/tenant/{tenant}/config")
    assert (after.json(), after.headers["etag"]) == (before.json(), before.headers["etag"])
