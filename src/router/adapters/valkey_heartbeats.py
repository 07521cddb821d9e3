"""The routers' heartbeats in Valkey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple

import orjson

from router.domain.pool_share import Demand
from stores.valkey import Valkey

LIVES_S = 2.0


class ValkeyHeartbeats:
    """Implements `Heartbeats`. A beat that cannot be read, of another version, counts as a router without demand."""

    def __init__(self, valkey: Valkey, *, lives_s: float = LIVES_S) -> None:
        self._valkey = valkey
        self._lives_s = lives_s

    async def beat(self, router_id: str, demands: Mapping[str, Demand]) -> Mapping[str, Mapping[str, Demand]]:
        text = orjson.dumps({pool: astuple(demand) for pool, demand in demands.items()}).decode()
        beats = await self._valkey.beat(router_id, text, lives_s=self._lives_s)
        return {other: _demands(told) for other, told in beats.items()}

    async def leave(self, router_id: str) -> None:
        await self._valkey.beat(router_id, "", lives_s=self._lives_s)


def _demands(text: str) -> dict[str, Demand]:
    try:
        return {
            pool: Demand(int(in_flight), int(waiting), float(weight))
            for pool, (in_flight, waiting, weight) in orjson.loads(text).items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}
