"""Requests whose router died: nobody renews their events any more, so they are billed to the last renewal."""

from __future__ import annotations

import logging

from observability.logging import log
from tenancy.usage_ports import Ledger

ORPHAN_AFTER_S = 30.0
"""Fifteen renewals. A router that was only slow corrects the event when it settles it."""
ORPHANS_S = 10.0

_logger = logging.getLogger("atrium.ledger")


class Orphans:
    def __init__(self, ledger: Ledger, *, after_s: float = ORPHAN_AFTER_S) -> None:
        self._ledger = ledger
        self._after_s = after_s

    async def close(self) -> None:
        closed = await self._ledger.close_orphans(self._after_s)
        if closed:
            log(_logger, logging.WARNING, "requests that nobody renewed are closed as crashed", events=closed)
