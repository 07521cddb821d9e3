"""Which pool a request waits for, and what a config is told of its pools."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.chat import Route
from contracts.pools import PoolState, ServedModel, usable_models
from router.domain.pool_choice import choose_pool
from router.domain.pool_warnings import pool_warnings
from tenancy.config import TenantConfig

BASE, OURS, THEIRS = ServedModel(id="base"), ServedModel(id="ours", parent="base"), ServedModel(id="theirs", parent="b")
HYBRID = TenantConfig(pool="gold", pool_spill=True)
BOTH = {"gold", "pooled"}


def a_pool(*models: ServedModel, replicas: int = 1) -> PoolState:
    return PoolState(sequences=8, replicas=replicas, models=models)


def states(**pools: PoolState) -> dict[str, PoolState]:
    return {"gold": a_pool(BASE), "pooled": a_pool(BASE), **pools}


@pytest.mark.parametrize(
    ("config", "known", "with_room", "chosen"),
    [
        (TenantConfig(), states(), set(), "pooled"),
        (TenantConfig(pool="gold"), states(gold=a_pool(replicas=0)), {"pooled"}, "gold"),
        (HYBRID, states(), BOTH, "gold"),
        (HYBRID, states(), {"pooled"}, "pooled"),
        (HYBRID, states(), set(), "gold"),
        (HYBRID, states(gold=a_pool(BASE, replicas=0)), set(), "pooled"),
        (HYBRID, {"pooled": a_pool(BASE)}, set(), "pooled"),
        (HYBRID, states(pooled=a_pool(BASE, replicas=0)), {"pooled"}, "gold"),
        (HYBRID, {}, {"pooled"}, "gold"),
        (HYBRID.model_copy(update={"model": "base"}), states(), {"pooled"}, "pooled"),
        (HYBRID.model_copy(update={"model": "large"}), states(), {"pooled"}, "gold"),
        (HYBRID.model_copy(update={"model": "theirs"}), states(pooled=a_pool(BASE, THEIRS)), {"pooled"}, "gold"),
        (
            HYBRID.model_copy(update={"routes": (Route(name="R", model="large"),)}),
            states(),
            {"pooled"},
            "gold",
        ),
    ],
)
def test_dedicated_first_and_the_shared_one_only_where_it_helps(
    config: TenantConfig, known: dict[str, PoolState], with_room: set[str], chosen: str
) -> None:
    assert choose_pool(config, known, with_room) == chosen


def told(known: dict[str, PoolState], **config: Any) -> list[str]:
    return [warning.path for warning in pool_warnings(TenantConfig(**config), known)]


def test_a_config_that_names_nothing_is_told_nothing() -> None:
    assert told({}) == told(states()) == told({}, pool="gold") == []


def test_what_the_pools_do_not_have_is_told() -> None:
    assert told(states(), pool="silver") == ["pool"]
    assert told(states(), model="base") == []
    assert told(states(), model="large", routes=[{"name": "R", "model": "larger"}], allowed_routes=["R"]) == [
        "model",
        "routes[0].model",
    ]
    assert told({}, model="base") == ["model"]
    assert told(states(pooled=a_pool()), model="base") == ["model"]
    assert told(states(), pool_spill=True) == ["pool_spill"]
    assert told(states(gold=a_pool(BASE, OURS)), pool="gold", pool_spill=True, adapters=["ours"], model="ours") == [
        "pool_spill"
    ]


def test_another_tenants_adapter_is_told_of_as_a_model_that_nobody_has() -> None:
    known = states(pooled=a_pool(BASE, THEIRS))
    (theirs,) = pool_warnings(TenantConfig(model="theirs"), known)
    (nobodys,) = pool_warnings(TenantConfig(model="nobodys"), known)
    assert theirs == nobodys
    assert usable_models((BASE, OURS, THEIRS), ("ours",)) == (BASE, OURS)


def test_a_request_that_names_a_model_spills_only_to_where_it_is_served() -> None:
    known = states(gold=a_pool(BASE, ServedModel(id="large")))
    assert choose_pool(HYBRID, known, {"pooled"}, "base") == "pooled"
    assert choose_pool(HYBRID, known, {"pooled"}, "large") == "gold"
