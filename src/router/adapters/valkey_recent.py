"""Recent requests in Valkey: one list a tenant, which expires when it is not added to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from contracts.tenant import TenantId
from router.domain.recent_request import MAX_KEPT, RecentRequest
from stores.valkey import Valkey

_SCRIPT = Path(__file__).with_name("recent_requests.lua")
_KEYS = [("recent",)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)


class ValkeyRecentRequests:
    """An entry is `<microseconds> <id, locale and cut as JSON>`, a line break, and the query as it is."""

    def __init__(self, valkey: Valkey) -> None:
        self._script = valkey.script(_SCRIPT)

    async def note(self, tenant_id: TenantId, request: RecentRequest, *, keep_for: timedelta) -> None:
        entry, at = _entry(request.shortened()), _microseconds(request.at)
        oldest, expires_in = at - keep_for // _MICROSECOND, max(1, keep_for // _MILLISECOND)
        await self._script(tenant_id, _KEYS, ["note", entry, MAX_KEPT, oldest, expires_in])

    async def last(self, tenant_id: TenantId, count: int, *, not_older_than: datetime) -> list[RecentRequest]:
        entries: list[bytes] = await self._script(tenant_id, _KEYS, ["last", count])
        found = (_request(entry) for entry in entries)
        return [request for request in found if request is not None and request.at >= not_older_than]

    async def forget(self, tenant_id: TenantId) -> None:
        await self._script(tenant_id, _KEYS, ["forget"])


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _entry(request: RecentRequest) -> str:
    rest = {"id": request.request_id, "locale": request.locale, "cut": request.cut}
    return f"{_microseconds(request.at)} {orjson.dumps(rest).decode()}\n{request.query}"


def _request(entry: bytes) -> RecentRequest | None:
    """None for what another version of this code wrote in another shape: a list that expires is not migrated."""
    head, _, query = entry.partition(b"\n")
    at, _, rest = head.partition(b" ")
    try:
        fields = orjson.loads(rest)
        return RecentRequest(
            request_id=fields["id"],
            at=_EPOCH + int(at) * _MICROSECOND,
            query=query.decode(),
            locale=fields["locale"],
            cut=fields["cut"],
        )
    except (ValueError, KeyError, TypeError):
        return None
