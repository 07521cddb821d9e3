"""The embeddings of route examples: the built-in ones for all, a tenant's own for that tenant alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from app.ports import Vector
from contracts.routes import BUILT_IN_ROUTES
from contracts.tenant import TenantId

_Key = tuple[str, TenantId | None, str]
_GroupKey = tuple[str, TenantId | None, tuple[str, ...]]
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
        self._groups: OrderedDict[_GroupKey, Vector] = OrderedDict()
        self._rows = 0

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

    def groups(self, model: str, tenant_id: TenantId, groups: Sequence[tuple[str, ...]]) -> list[Vector] | None:
        """Each group's vectors as the rows of one matrix, as `keep_groups` was given them; None unless all are there.
        To put them together again for every question would cost most of what a decision does."""
        keys = [_group_key(model, tenant_id, group) for group in groups]
        found = [matrix for key in keys if (matrix := self._groups.get(key)) is not None]
        if len(found) < len(keys):
            return None
        for key in keys:
            self._groups.move_to_end(key)
        return found

    def keep_groups(
        self, model: str, tenant_id: TenantId, groups: Sequence[tuple[str, ...]], vectors: Mapping[str, Vector]
    ) -> list[Vector]:
        """As many rows as `capacity` has vectors are kept, those of the groups that were used last."""
        made = [np.stack([vectors[text] for text in group]) for group in groups]
        for group, matrix in zip(groups, made, strict=True):
            key = _group_key(model, tenant_id, group)
            self._rows += len(matrix) - len(self._groups.pop(key, ()))
            self._groups[key] = matrix
        while self._rows > self._capacity:
            self._rows -= len(self._groups.popitem(last=False)[1])
        return made

    def __len__(self) -> int:
        return len(self._vectors)


def _key(model: str, tenant_id: TenantId, text: str) -> _Key:
    return (model, None if text in _KNOWN_TO_ALL else tenant_id, text)


def _group_key(model: str, tenant_id: TenantId, group: tuple[str, ...]) -> _GroupKey:
    return (model, None if _KNOWN_TO_ALL.issuperset(group) else tenant_id, group)
