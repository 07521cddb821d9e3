"""A tenant brings an engine of its own: same rules, same ledger, its key nowhere in the open, no way inside."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from support.imitation_engine import Imitation, running_imitation
from support.stack import Stack

KEY = "sk-the-tenants-own-key"
RULE = {"type": "contains", "pattern": "marzipan", "reason": "No sweets", "stage": "both", "id": "sweets"}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[str, Imitation]]:
    """An engine that is not the platform's."""
    with running_imitation() as (url, imitation):
        yield url, imitation


def own_engine(url: str, **changes: Any) -> dict[str, Any]:
    return {"base_url": f"{url}/v1", "model": "large", "api_key": KEY} | changes


def asked(stack: Stack, tenant: str, query: str, **more: Any) -> Any:
    with stack.client(tenant) as client:
        return client.post("/chat", json={"query": query, **more})


def test_it_is_asked_with_the_tenants_key_and_the_platforms_engine_is_not(
    stack: Stack, elsewhere: tuple[str, Imitation]
) -> None:
    url, imitation = elsewhere
    tenant = stack.new_tenant("byok", external_engine=own_engine(url))
    before = stack.engine_requests()

    answer = asked(stack, tenant, "What do lentils contain? tokens:8")

    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 8
    last = imitation.asked[-1]
    assert (last.authorization, last.body["model"]) == (f"Bearer {KEY}", "large")
    assert not {"cache_salt", "priority"} & last.body.keys()
    assert stack.engine_requests() == before


def test_what_it_used_stands_in_the_ledger_and_costs_nothing_here(
    stack: Stack, elsewhere: tuple[str, Imitation]
) -> None:
    tenant = stack.new_tenant("byok", external_engine=own_engine(elsewhere[0]))
    answer = asked(stack, tenant, "What do lentils contain? tokens:8").json()

    with stack.client(tenant) as client:
        usage = client.get(f"/tenant/{tenant}/usage", params={"group_by": "model"}).json()

    assert answer["cost_usd_estimate"] == 0
    (row,) = usage["rows"]
    assert (row["model"], row["completion_tokens"], row["cost_usd"]) == ("external/large", 8, 0)


def test_the_same_rules_hold_for_what_goes_there_and_what_comes_back(
    stack: Stack, elsewhere: tuple[str, Imitation]
) -> None:
    url, imitation = elsewhere
    output = RULE | {"pattern": "contain", "stage": "output", "id": "out"}
    tenant = stack.new_tenant("byok", external_engine=own_engine(url), refusal_rules=[RULE, output])
    before = len(imitation.asked)

    assert asked(stack, tenant, "marzipan, please").json()["refusal"]["rule_id"] == "sweets"
    assert len(imitation.asked) == before
    refused = asked(stack, tenant, "What do lentils contain? tokens:8").json()
    assert refused["refusal"]["rule_id"] == "out"
    assert "contain" not in refused["answer"].replace(refused["refusal"]["message"], "")


def test_the_key_is_shown_to_nobody_and_a_config_sent_back_as_read_keeps_it(
    stack: Stack, elsewhere: tuple[str, Imitation], caplog: pytest.LogCaptureFixture
) -> None:
    url, imitation = elsewhere
    caplog.set_level(logging.DEBUG)
    tenant = stack.new_tenant("byok", external_engine=own_engine(url))
    with stack.client(tenant) as client:
        read = client.get(f"/tenant/{tenant}/config")
        shown = read.json()
        assert shown["external_engine"]["api_key"].startswith("sealed:")
        put = client.put(f"/tenant/{tenant}/config", json=shown)
        assert put.status_code == 200, put.text
        assert client.patch(f"/tenant/{tenant}/config", json={"display_name": "x"}).status_code == 200
        assert asked(stack, tenant, "hello").status_code == 200
        told = [
            client.get(f"/tenant/{tenant}/{path}").text
            for path in ("config", "config/versions", "config/versions/1", "audit", "export")
        ]
    assert imitation.asked[-1].authorization == f"Bearer {KEY}"
    assert not [text for text in (*told, caplog.text) if KEY in text]


def test_another_tenant_cannot_use_a_sealed_key_that_it_has_seen(
    stack: Stack, elsewhere: tuple[str, Imitation]
) -> None:
    owner = stack.new_tenant("byok", external_engine=own_engine(elsewhere[0]))
    with stack.client(owner) as client:
        sealed = client.get(f"/tenant/{owner}/config").json()["external_engine"]
    thief = stack.new_tenant("thief")
    with stack.client(thief) as client:
        answer = client.patch(f"/tenant/{thief}/config", json={"external_engine": sealed})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert answer.json()["error"]["details"]["faults"][0]["path"] == "external_engine.api_key"


@pytest.mark.parametrize(
    "address",
    [
        "https://10.0.0.1/v1",
        "http://169.254.169.254/latest/meta-data",
        "https://[::1]:8100",
        "https://[::ffff:10.0.0.1]/v1",
        "http://example.com/v1",
        "file:///etc/passwd",
        "https://user:secret@example.com",
    ],
)
def test_an_address_inside_is_refused_when_it_is_saved(stack: Stack, address: str) -> None:
    tenant = stack.new_tenant("ssrf")
    with stack.client(tenant) as client:
        answer = client.patch(f"/tenant/{tenant}/config", json={"external_engine": own_engine("", base_url=address)})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["faults"][0]["path"] == "external_engine.base_url"
    assert KEY not in answer.text


def test_a_name_that_leads_inside_is_not_connected_to(stack: Stack) -> None:
    """`localhost` leads to this machine, where only addresses of 127.0.0.0/8 are allowed by setting: over ::1 or not,
    a name needs https, and what answers here speaks none. A name of another network is refused by the resolver."""
    tenant = stack.new_tenant("ssrf", external_engine=own_engine("https://invalid.localdomain.invalid"))
    answer = asked(stack, tenant, "hello")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")


@pytest.mark.parametrize("fault", ["fault:http500", "fault:die", "fault:html", "fault:http503"])
def test_its_failures_are_told_and_leave_the_platforms_pool_alone(
    stack: Stack, elsewhere: tuple[str, Imitation], fault: str
) -> None:
    tenant = stack.new_tenant("byok", external_engine=own_engine(elsewhere[0]))
    neighbour = stack.new_tenant("neighbour")

    assert asked(stack, tenant, f"{fault} now").status_code in {502, 503, 504}
    assert asked(stack, neighbour, "hello").status_code == 200


def test_leaving_it_is_a_config_change(stack: Stack, elsewhere: tuple[str, Imitation]) -> None:
    url, imitation = elsewhere
    tenant = stack.new_tenant("byok", external_engine=own_engine(url))
    with stack.client(tenant) as client:
        assert client.patch(f"/tenant/{tenant}/config", json={"external_engine": None}).status_code == 200
    before = len(imitation.asked)
    assert asked(stack, tenant, "hello").status_code == 200
    assert len(imitation.asked) == before
