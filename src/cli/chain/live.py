"""A chain as a server tells it, page by page, compared on the way with what a file holds of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from cli.chain.check import BrokenChainError, ChainCheck, Verified
from cli.client.api import Api
from contracts.tenant import TenantId
from tenancy.audit import AuditEvent, Breach, Head, event_from_json

PAGE = 500


class LiveChain:
    """`path`: of the audit log. `name` and `tenant_id`: whose it is; None is the platform's."""

    def __init__(self, api: Api, path: str, name: str, tenant_id: TenantId | None) -> None:
        self._api = api
        self._path = path
        self._name = name
        self._tenant_id = tenant_id

    def verify(self, kept: Iterable[AuditEvent] = ()) -> Verified:
        """From the first event to the head. `kept` are events of the same chain that were taken away earlier, in
        their order: each must still be there, as it was. Raises BrokenChainError, ApiError, CliError."""
        check = ChainCheck(self._name, self._tenant_id, Head())
        compared = _Kept(self._name, kept)
        while True:
            before = check.last
            # A server reads the head before the events: it covers all that was read before this call, and may lack
            # the last of those that come now.
            page = self._api.call("GET", f"{self._path}?{urlencode({'after': before.seq, 'limit': PAGE})}")
            head = Head(page["head"]["seq"], page["head"]["hash"])
            if head.seq <= before.seq:
                check.ends_at(head)
            self._add(page["items"], check, compared)
            if check.last == head:
                break
            if check.last == before:
                check.ends_at(head)
        compared.ends(check.last)
        return check.verified()

    def _add(self, items: list[dict[str, Any]], check: ChainCheck, compared: _Kept) -> None:
        for item in items:
            try:
                event = event_from_json(item)
                check.add(event)
            except (ValueError, OverflowError) as error:
                raise check.unreadable() from error
            compared.meet(event)


class _Kept:
    """Walks along with the live chain."""

    def __init__(self, where: str, kept: Iterable[AuditEvent]) -> None:
        self._where = where
        self._coming = iter(kept)
        self._next = next(self._coming, None)

    def meet(self, event: AuditEvent) -> None:
        if self._next is None or event.seq != self._next.seq:
            return
        if event.hash != self._next.hash:
            raise BrokenChainError(
                self._where, Breach(event.seq, "it is another than in the file: history was rewritten")
            )
        self._next = next(self._coming, None)

    def ends(self, last: Head) -> None:
        if self._next is not None:
            reason = f"the file has event {self._next.seq}, which is here no more: history was cut"
            raise BrokenChainError(self._where, Breach(last.seq + 1, reason))
