"""First answers in memory: for tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from contracts.errors import DependencyDownError, IdempotencyMismatchError, RequestInProgressError
from contracts.tenant import TenantId


@dataclass(slots=True)
class _Record:
    request_print: str
    owner: str
    ends_at: float
    answer: bytes | None = None


class MemoryFirstAnswers:
    """Implements `FirstAnswerStore`. `down` makes it fail."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.down = False
        self._now = now
        self._records: dict[tuple[TenantId, str], _Record] = {}

    async def begin(
        self, tenant_id: TenantId, name: str, owner: str, request_print: str, lease: timedelta
    ) -> bytes | None:
        found = self._live(tenant_id, name)
        if found is None:
            ends_at = self._now() + lease.total_seconds()
            self._records[tenant_id, name] = _Record(request_print, owner, ends_at)
            return None
        if found.request_print != request_print:
            raise IdempotencyMismatchError("this Idempotency-Key was used for another request")
        if found.answer is None:
            raise RequestInProgressError("the first request with this Idempotency-Key is still running")
        return found.answer

    async def renew(self, tenant_id: TenantId, name: str, owner: str, lease: timedelta) -> bool:
        found = self._owned(tenant_id, name, owner)
        if found is not None:
            found.ends_at = self._now() + lease.total_seconds()
        return found is not None

    async def keep(self, tenant_id: TenantId, name: str, owner: str, answer: bytes, keep_for: timedelta) -> bool:
        found = self._owned(tenant_id, name, owner)
        if found is not None:
            found.answer, found.ends_at = answer, self._now() + keep_for.total_seconds()
        return found is not None

    async def drop(self, tenant_id: TenantId, name: str, owner: str) -> None:
        if self._owned(tenant_id, name, owner) is not None:
            del self._records[tenant_id, name]

    def _live(self, tenant_id: TenantId, name: str) -> _Record | None:
        if self.down:
            raise DependencyDownError("Valkey is out of reach", details={"dependency": "valkey"}, retry_after_s=1)
        found = self._records.get((tenant_id, name))
        return found if found is not None and found.ends_at > self._now() else None

    def _owned(self, tenant_id: TenantId, name: str, owner: str) -> _Record | None:
        found = self._live(tenant_id, name)
        return found if found is not None and found.owner == owner and found.answer is None else None
