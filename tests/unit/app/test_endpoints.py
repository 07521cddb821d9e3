"""EndpointSlices as pools."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.endpoints import pools_of

LABEL = "atrium.dev/pool"


def a_slice(*endpoints: dict[str, Any], pool: str | None = None, ports: Any = None) -> dict[str, Any]:
    return {
        "metadata": {"name": "s", "labels": {LABEL: pool} if pool else {}},
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": 8000}] if ports is None else ports,
    }


def at(address: str, **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


@pytest.mark.parametrize(
    ("conditions", "drains"),
    [
        ({}, False),
        ({"ready": True}, False),
        ({"ready": None}, False),
        ({"ready": False}, None),
        ({"ready": False, "serving": True, "terminating": True}, True),
        ({"ready": False, "terminating": True}, True),
        ({"ready": False, "serving": False, "terminating": True}, None),
        ({"ready": True, "serving": True, "terminating": True}, True),
    ],
)
def test_what_becomes_of_an_endpoint_in_each_condition(conditions: dict[str, bool | None], drains: bool | None) -> None:
    pools = pools_of([a_slice(at("10.0.0.1", **conditions))], LABEL)
    assert pools == {"pooled": {} if drains is None else {"http://10.0.0.1:8000": drains}}


def test_the_label_says_the_pool_and_slices_of_one_pool_are_added_up() -> None:
    slices = [a_slice(at("10.0.0.1")), a_slice(at("10.0.0.2"), pool="gold"), a_slice(at("10.0.0.3"), pool="gold")]
    assert pools_of(slices, LABEL) == {
        "pooled": {"http://10.0.0.1:8000": False},
        "gold": {"http://10.0.0.2:8000": False, "http://10.0.0.3:8000": False},
    }


def test_an_address_in_two_slices_is_given_work_if_one_of_them_says_so() -> None:
    drains, ready = at("10.0.0.1", terminating=True), at("10.0.0.1", ready=True)
    for slices in ([a_slice(drains), a_slice(ready)], [a_slice(ready), a_slice(drains)]):
        assert pools_of(slices, LABEL) == {"pooled": {"http://10.0.0.1:8000": False}}


def test_ports_and_addresses_of_every_kind() -> None:
    ports = [{"name": "metrics", "port": 9}, {"name": "http", "port": 80, "appProtocol": "https"}]
    assert pools_of([a_slice(at("fd00::1"), ports=ports)], LABEL) == {"pooled": {"https://[fd00::1]:80": False}}
    assert pools_of([a_slice(at("10.0.0.1"), ports=[{"port": 7}])], LABEL) == {"pooled": {"http://10.0.0.1:7": False}}
    assert pools_of([a_slice(at("10.0.0.1"), ports=[])], LABEL) == {"pooled": {}}
    assert pools_of([{"metadata": {"labels": None}, "endpoints": None, "ports": None}], LABEL) == {"pooled": {}}
