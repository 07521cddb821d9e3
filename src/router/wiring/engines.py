"""This router's places in the engine pools."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass

from observability.metrics import Metrics
from router.adapters.valkey_heartbeats import ValkeyHeartbeats
from router.ports import PoolStates
from router.service.engine_places import EnginePlaces
from router.service.pool_share import PoolShare
from router.service.pools import Pools
from router.settings import Settings
from stores.valkey import Valkey


@dataclass(frozen=True, slots=True)
class EngineParts:
    places: EnginePlaces
    share: PoolShare
    pools: Pools


def open_engines(
    settings: Settings, states: PoolStates, valkey: Valkey, metrics: Metrics, stack: AsyncExitStack
) -> EngineParts:
    places = EnginePlaces(metrics, headroom=settings.pool_kept_free)
    share = PoolShare(
        uuid.uuid4().hex,
        places,
        states,
        ValkeyHeartbeats(valkey),
        metrics,
        hold_s=settings.hold_without_replicas_s,
    )
    stack.push_async_callback(share.leave)
    return EngineParts(places, share, Pools(places, share.states, metrics))
