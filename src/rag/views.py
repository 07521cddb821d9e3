"""Views of tenants' corpora, and how many of them memory holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics
from rag.domain.corpus import CorpusVersion
from rag.ports import TenantIndex

OVERHEAD_BYTES = 2_048
"""Of a view beside its index, so that a million empty tenants are not free."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A tenant's index at a version. `pending` counts the changes since it was built or compacted."""

    version: CorpusVersion
    index: TenantIndex
    pending: int = 0

    @property
    def nbytes(self) -> int:
        return self.index.nbytes + OVERHEAD_BYTES

    @property
    def is_worn(self) -> bool:
        """Whether it has so many changes that it is worth building anew: that costs as much as loading it."""
        return self.pending > max(1_000, len(self.index) // 4)


class ViewCache:
    """The views asked for last, as many as `limit_bytes` hold, and never less than the last one."""

    def __init__(self, limit_bytes: int, metrics: Metrics) -> None:
        self._limit = limit_bytes
        self._metrics = metrics
        self._views: OrderedDict[TenantId, View] = OrderedDict()
        self._sizes: dict[TenantId, int] = {}
        self._bytes = 0

    def __iter__(self) -> Iterator[TenantId]:
        """The tenants, the one to go first in front."""
        return iter(tuple(self._views))

    def __len__(self) -> int:
        return len(self._views)

    @property
    def nbytes(self) -> int:
        return self._bytes

    def get(self, tenant_id: TenantId) -> View | None:
        return self._views.get(tenant_id)

    def touch(self, tenant_id: TenantId) -> None:
        """It was asked for just now."""
        if tenant_id in self._views:
            self._views.move_to_end(tenant_id)

    def put(self, tenant_id: TenantId, view: View) -> None:
        self.drop(tenant_id)
        self._views[tenant_id], self._sizes[tenant_id] = view, view.nbytes
        self._bytes += self._sizes[tenant_id]
        while self._bytes > self._limit and len(self._views) > 1:
            self.drop(next(iter(self._views)))
        self._metrics.level(names.INDEX_CACHE, self._bytes)

    def drop(self, tenant_id: TenantId) -> View | None:
        self._bytes -= self._sizes.pop(tenant_id, 0)
        return self._views.pop(tenant_id, None)
