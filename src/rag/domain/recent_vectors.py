"""The vectors of questions that a tenant has asked lately."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from contracts.tenant import TenantId
from rag.domain.vectors import Vector

PER_TENANT = 64
"""Some 100 kB at 384 dimensions: a follow-up, a retry, a dashboard's fixed questions."""

IN_TOTAL = 8_192
"""Some 13 MB."""


class RecentVectors:
    """Least recently used first to go. Each tenant finds its own only: in a shared one, a quick answer would tell that
    somebody else had asked the same. Holds hashes of the questions, not their text. For one thread."""

    def __init__(self, *, per_tenant: int = PER_TENANT, in_total: int = IN_TOTAL) -> None:
        self._per_tenant = per_tenant
        self._in_total = in_total
        self._tenants: OrderedDict[TenantId, OrderedDict[bytes, Vector]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def get(self, tenant_id: TenantId, text: str) -> Vector | None:
        own = self._tenants.get(tenant_id)
        if own is None:
            return None
        self._tenants.move_to_end(tenant_id)
        key = _key(text)
        if key in own:
            own.move_to_end(key)
        return own.get(key)

    def keep(self, tenant_id: TenantId, text: str, vector: Vector) -> None:
        """The vector must not be written to any more: every `get` hands out this one."""
        own = self._tenants.setdefault(tenant_id, OrderedDict())
        self._tenants.move_to_end(tenant_id)
        key = _key(text)
        self._size += key not in own
        own[key] = vector
        own.move_to_end(key)
        if len(own) > self._per_tenant:
            self._drop_oldest_of(tenant_id)
        if self._size > self._in_total:
            self._drop_oldest_of(next(iter(self._tenants)))

    def forget(self, tenant_id: TenantId) -> None:
        self._size -= len(self._tenants.pop(tenant_id, ()))

    def _drop_oldest_of(self, tenant_id: TenantId) -> None:
        own = self._tenants[tenant_id]
        own.popitem(last=False)
        self._size -= 1
        if not own:
            del self._tenants[tenant_id]


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
