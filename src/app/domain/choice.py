"""Which replica of a pool answers: the one that has the conversation's prefix cached, unless it has too much to do.

Every replica has a place in each conversation's order of preference, by a hash of both (rendezvous hashing: Thaler and
Ravishankar, 1998): when a replica comes or goes, only the conversations move that it takes or had. The first in that
order is taken whose load stays within a bound (consistent hashing with bounded loads: Mirrokni, Thorup and
Zadimoghaddam, SODA 2018): what one cannot take is spread over all others, not put upon its neighbour.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_OVER_MEAN = 1.25
"""A replica is given nothing that would bring it over this many times the mean load."""
KV_COMFORT = 0.8
"""From here on a cache begins to evict what other conversations would have found."""
KV_FULL = 0.98


@dataclass(frozen=True, slots=True)
class Load:
    """What a replica has to do: `requests` that it generates or holds back, whoever sent them, `waiting` of them in its
    own queue. `full`: it refused one a moment ago."""

    url: str
    requests: int = 0
    waiting: int = 0
    kv_usage: float = 0.0
    full: bool = False

    def weight(self, more: int = 0) -> float:
        """In requests. One that waits counts twice; with a full cache, so does every one."""
        crowded = max(0.0, self.kv_usage - KV_COMFORT) / (1.0 - KV_COMFORT)
        return (self.requests + self.waiting + more) * (1.0 + min(1.0, crowded))


def choose(key: str, loads: Sequence[Load]) -> str | None:
    """The replica for the conversation `key`; None where there is none. The same values give the same one everywhere.

    Full ones are taken only where all are: the least loaded, so that a pool that refuses is not asked all around.
    """
    if not loads:
        return None
    open_ones = [load for load in loads if not load.full and load.kv_usage < KV_FULL]
    if not open_ones:
        return _least([load for load in loads if not load.full] or loads)
    within = bound(open_ones)
    by_url = {load.url: load for load in open_ones}
    for url in preference(key, by_url):
        if by_url[url].weight(more=1) <= within:
            return url
    return _least(open_ones)


def bound(loads: Sequence[Load]) -> float:
    """The load up to which a replica takes one more, that one included."""
    total = sum(load.weight() for load in loads) + 1
    return math.ceil(MOST_OVER_MEAN * total / len(loads))


def preference(key: str, urls: Iterable[str]) -> list[str]:
    """All of them, the one that `key` belongs to first."""
    return sorted(urls, key=lambda url: hashlib.blake2b(f"{key}\0{url}".encode(), digest_size=8).digest())


def _least(loads: Sequence[Load]) -> str:
    return min(loads, key=lambda load: (load.weight(), load.url)).url
