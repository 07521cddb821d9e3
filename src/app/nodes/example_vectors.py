"""The embeddings of route examples, kept per tenant: they change with the tenant's config only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from app.ports import Vector
from contracts.tenant import TenantId


class ExampleVectors:
    """The `capacity` most recently used; at 384 dimensions one takes about 1.7 kB.

    The tenant is part of the key, so no tenant can tell from an answer's speed what another one's examples are.
    """

    def __init__(self, capacity: int = 16_384) -> None:
        self._capacity = capacity
        self._vectors: OrderedDict[tuple[TenantId, str], Vector] = OrderedDict()

    def known(self, tenant_id: TenantId, texts: Iterable[str]) -> dict[str, Vector]:
        """Those of `texts` that are kept, marked as used."""
        found: dict[str, Vector] = {}
        for text in texts:
            key = (tenant_id, text)
            vector = self._vectors.get(key)
            if vector is not None:
                self._vectors.move_to_end(key)
                found[text] = vector
        return found

    def keep(self, tenant_id: TenantId, vectors: dict[str, Vector]) -> None:
        for text, vector in vectors.items():
            self._vectors[tenant_id, text] = vector
            self._vectors.move_to_end((tenant_id, text))
        while len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)

    def __len__(self) -> int:
        return len(self._vectors)
