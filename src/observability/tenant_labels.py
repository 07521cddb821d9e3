"""Which tenants have a dimension value of their own: those with the most traffic; the others share one."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from observability.names import NO_VALUE, OTHER

REVIEW_S = 300.0
FADES_IN_S = 3_600.0
"""After so long a request counts half."""
CLEARLY_MORE = 2.0
"""Times the traffic of the weakest that is shown: of two tenants as busy as each other, the one that is shown stays."""
AT_LEAST = 10.0
SWAPS = 4
"""In one review, at most: a sudden crowd does not turn everything over."""
_TAKEN = frozenset({OTHER, NO_VALUE})


class TenantLabels:
    """The first `top` tenants are shown at once; later ones when they have clearly more traffic than one that is.

    Memory is bounded: of tenants that are not shown, at most eight times `top` and 64 are counted.
    """

    def __init__(self, top: int, *, forget: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._top = top
        self._forget = forget
        self._clock = clock
        self._shown: dict[str, float] = {}
        self._others: dict[str, float] = {}
        self._at_most = 8 * top + 64
        self._due = clock() + REVIEW_S
        self._reviewing = Lock()

    def of(self, tenant: str) -> str:
        """The value for a tenant that exists, and one more for its traffic. An empty one, for no tenant, stays so.

        A tenant whose id is what others' values mean has none of its own: nobody could tell them apart.
        """
        if not tenant:
            return tenant
        if tenant in _TAKEN:
            return OTHER
        if self._clock() >= self._due:
            self._review()
        if tenant in self._shown:
            self._shown[tenant] += 1
            return tenant
        if len(self._shown) < self._top:
            self._shown[tenant] = 1
            return tenant
        if tenant not in self._others and len(self._others) >= self._at_most:
            self._make_room()
        self._others[tenant] = self._others.get(tenant, 0) + 1
        return OTHER

    def _make_room(self) -> None:
        """The busier half stays."""
        ranked = sorted(self._others.items(), key=lambda item: item[1], reverse=True)
        self._others = dict(ranked[: self._at_most // 2])

    def _review(self) -> None:
        if not self._reviewing.acquire(blocking=False):
            return  # another thread does it
        try:
            self._due = self._clock() + REVIEW_S
            for tenant, traffic in sorted(self._others.items(), key=lambda item: item[1], reverse=True)[:SWAPS]:
                if not self._shown:
                    break  # none is to be shown
                weakest = min(self._shown, key=self._shown.__getitem__)
                if traffic < AT_LEAST or traffic <= CLEARLY_MORE * self._shown[weakest]:
                    break
                self._others[weakest] = self._shown.pop(weakest)
                self._shown[tenant] = self._others.pop(tenant)
                self._forget(weakest)
            fading = 0.5 ** (REVIEW_S / FADES_IN_S)
            self._shown = {tenant: traffic * fading for tenant, traffic in self._shown.items()}
            self._others = {tenant: traffic * fading for tenant, traffic in self._others.items() if traffic > 0.5}
        finally:
            self._reviewing.release()
