"""A pool that could not begin a request is left alone for a moment by those who have another."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import AtriumError, InvalidRequestError, PoolUnavailableError, UpstreamError, UpstreamTimeoutError
from contracts.pools import PoolState, ServedModel
from observability.metrics import NullMetrics
from router.service.pools import LEFT_ALONE_S, Pools
from support.policies import a_policy

STATES = {name: PoolState(sequences=8, replicas=1, models=(ServedModel(id="base"),)) for name in ("gold", "pooled")}


class Room:
    def has_room(self, *_asked: object) -> bool:
        return True


class Clock:
    now = 100.0


def pools(clock: Clock) -> Pools:
    places: Any = Room()
    return Pools(places, lambda: STATES, NullMetrics(), now=lambda: clock.now)


def test_it_is_chosen_again_after_a_while() -> None:
    clock, hybrid = Clock(), a_policy(pool="gold", pool_spill=True)
    found = pools(clock)
    assert found.choose(hybrid) == "gold"
    assert found.failed(hybrid, "gold", UpstreamError("it died"))
    assert found.failed(hybrid, "gold", UpstreamError("so did another's")), "both had been given to it before"
    assert found.choose(hybrid) == "pooled"
    assert found.choose(a_policy(pool="gold")) == "gold", "who has no other waits for it"
    clock.now += LEFT_ALONE_S
    assert found.choose(hybrid) == "gold"


@pytest.mark.parametrize(
    ("config", "pool", "error"),
    [
        ({"pool": "gold"}, "gold", PoolUnavailableError("none")),
        ({"pool": "gold", "pool_spill": True}, "pooled", PoolUnavailableError("none")),
        ({"pool_spill": True}, "pooled", PoolUnavailableError("none")),
        ({"pool": "gold", "pool_spill": True}, "gold", InvalidRequestError("its own fault")),
        ({"pool": "gold", "pool_spill": True}, "gold", UpstreamTimeoutError("its time is over")),
    ],
)
def test_what_no_other_pool_would_do_better_is_not_begun_again(
    config: dict[str, Any], pool: str, error: AtriumError
) -> None:
    found = pools(Clock())
    assert not found.failed(a_policy(**config), pool, error)
