"""The embeddings of route examples: the built-in ones for all, a tenant's own for that tenant alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from app.ports import Vector
from contracts.routes import BUILT_IN_ROUTES
from contracts.tenant import TenantId

_Key = tuple[str, TenantId | None, str]
_KNOWN_TO_ALL = frozenset(text for route in BUILT_IN_ROUTES for text in (*route.examples, *route.counter_examples))


class ExampleVectors:
    """The `capacity` most recently used; at 384 dimensions one takes about 1.7 kB.

    The tenant is part of the key of its own examples, so that none can tell from an answer's speed what another one's
    are. The built-in examples are known to everybody and embedded once. So is the model: vectors of two are never
    compared, and those of one that is served no more are the first to go.
    """

    def __init__(self, capacity: int = 16_384) -> None:
        self._capacity = capacity
        self._vectors: OrderedDict[_Key, Vector] = OrderedDict()

    def known(self, model: str, tenant_id: TenantId, texts: Iterable[str]) -> dict[str, Vector]:
        """Those of `texts` that `model` has embedded and that are kept, marked as used."""
        found: dict[str, Vector] = {}
        for text in texts:
            key = _key(model, tenant_id, text)
            vector = self._vectors.get(key)
            if vector is not None:
                self._vectors.move_to_end(key)
                found[text] = vector
        return found

    def keep(self, model: str, tenant_id: TenantId, vectors: dict[str, Vector]) -> None:
        for text, vector in vectors.items():
            key = _key(model, tenant_id, text)
            self._vectors[key] = vector
            self._vectors.move_to_end(key)
        while len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)

    def __len__(self) -> int:
        return len(self._vectors)


def _key(model: str, tenant_id: TenantId, text: str) -> _Key:
    return (model, None if text in _KNOWN_TO_ALL else tenant_id, text)
