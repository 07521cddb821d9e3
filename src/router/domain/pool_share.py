"""How several routers divide the places of one engine pool among themselves, without asking each other twice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What a router asks of a pool. `weight`: of the tenants of which something waits or runs there, together."""

    in_flight: int = 0
    waiting: int = 0
    weight: float = 0.0

    @property
    def places(self) -> int:
        """With all of which nothing would wait."""
        return self.in_flight + self.waiting


def divide(capacity: int, demands: Mapping[str, Demand]) -> dict[str, int]:
    """Places for each router, in all `capacity`; at least one for each, also where that makes more.

    Nobody gets more than it asks for while another one lacks places; those who lack are served by the weight of their
    tenants, so that one tenant's long queue in one router takes nothing from the tenants of another. What nobody asks
    for is given evenly to all, for what comes next. The same numbers give the same division everywhere.
    """
    routers = sorted(demands)
    shares = dict.fromkeys(routers, 1.0)
    left = float(max(0, capacity - len(routers)))
    left = _serve(shares, {router: max(0.0, demands[router].places - 1.0) for router in routers}, demands, left)
    for router in routers:
        shares[router] += left / len(routers)
    return _whole(shares, max(capacity, len(routers)))


def _serve(shares: dict[str, float], wanted: dict[str, float], demands: Mapping[str, Demand], left: float) -> float:
    """Give from what is left by weight, to nobody more than it wants; returns what nobody wants."""
    hungry = {router: max(demands[router].weight, 1e-3) for router, places in wanted.items() if places > 0}
    while hungry and left > 1e-9:
        each = left / sum(hungry.values())
        for router, weight in list(hungry.items()):
            given = min(wanted[router], each * weight)
            shares[router] += given
            wanted[router] -= given
            left -= given
            if wanted[router] <= 1e-9:
                del hungry[router]
    return max(0.0, left)


def _whole(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Rounded down, and the remaining places to the largest remainders."""
    rounded = {router: math.floor(share + 1e-9) for router, share in shares.items()}
    by_remainder = sorted(shares, key=lambda router: (rounded[router] - shares[router], router))
    for router in by_remainder[: total - sum(rounded.values())]:
        rounded[router] += 1
    return rounded
