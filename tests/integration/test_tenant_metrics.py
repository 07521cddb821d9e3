"""A tenant's own numbers and the fleet's, through the whole stack."""

from __future__ import annotations

import time
from typing import Any

from router.service.tenant_metrics import WRITE_S
from support.stack import Stack


def metrics(stack: Stack, tenant: str, requests: int, **query: Any) -> Any:
    """Once so many requests have been written."""
    until = time.monotonic() + 3 * WRITE_S
    with stack.client() as client:
        headers = {"x-tenant-id": tenant}
        while True:
            answer = client.get(f"/tenant/{tenant}/metrics", params=query, headers=headers)
            assert answer.status_code == 200, answer.text
            found = answer.json()
            if found["total"]["requests"] >= requests or time.monotonic() > until:
                return found
            time.sleep(0.2)


def test_a_tenant_sees_its_answers_refusals_and_what_was_over_a_limit_and_no_neighbours(stack: Stack) -> None:
    rules = [{"type": "contains", "pattern": "hack", "reason": "Security violation"}]
    tenant = stack.new_tenant("seen", rate_limit_per_minute=2, refusal_rules=rules)
    neighbour = stack.new_tenant("unseen")
    with stack.client(tenant) as client, stack.client(neighbour) as other:
        usage = client.post("/chat", json={"query": "What do lentils contain?"}).json()
        assert client.post("/chat", json={"query": "how to hack"}).json()["refusal"]
        assert client.post("/chat", json={"query": "once more"}).status_code == 429
        assert other.post("/chat", json={"query": "What do lentils contain?"}).status_code == 200

    found = metrics(stack, tenant, 3)

    assert [found["tenant_id"], found["step"], len(found["rows"])] == [tenant, "hour", 1]
    total = found["total"]
    assert total["requests"] == 3
    assert total["refusals"] == {"Security violation": 1}
    assert total["throttled"] == {"requests_per_minute": 1}
    assert total["completion_tokens"] == usage["usage"]["completion_tokens"]
    assert total["cost_usd"] == usage["cost_usd_estimate"]
    assert total["latency_ms"]["p50"] > 0
    by_route = metrics(stack, tenant, 3, step="day", group_by="route")
    assert {row["route"]: row["requests"] for row in by_route["rows"]} == {usage["route"]: 1, "": 2}

    with stack.platform() as platform:
        fleet = platform.get("/analytics", params={"group_by": "tenant", "limit": 1_000}).json()
        cut = platform.get("/analytics", params={"group_by": "tenant,route", "limit": 1}).json()
    assert (fleet["more"], cut["more"], len(cut["rows"])) == (False, True, 1)
    assert cut["total"]["requests"] >= fleet["total"]["requests"] >= 3
    (own,) = [row for row in fleet["rows"] if row["tenant"] == tenant]
    assert own["requests"] == 3
    assert own["refusals"] == {"all": 1}


def test_what_cannot_be_asked_is_said_so(stack: Stack) -> None:
    tenant = stack.new_tenant("asking")
    with stack.client(tenant) as client:
        for query in (
            {"group_by": "tenant"},
            {"group_by": "at,at"},
            {"group_by": ""},
            {"step": "week"},
            {"from": "2026-01-01"},
            {"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"},
            {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
            {"from": "0001-01-01T00:00:00+23:00", "to": "0001-01-01T01:00:00Z"},
            {"from": "9999-12-31T00:00:00Z", "to": "9999-12-31T23:59:59-23:00"},
            {"to": "0001-01-01T00:00:00Z"},
        ):
            answer = client.get(f"/tenant/{tenant}/metrics", params=query)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request"), query
        assert client.get("/analytics").status_code == 403
