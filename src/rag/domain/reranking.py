"""What a reranker says, put into the order that the index gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag.domain.query import Scored


def reranked(found: Sequence[Scored], scores: Sequence[float], k: int) -> list[Scored]:
    """The best `k`: those that were scored by their new scores, equal ones as they stood, the others behind them.

    `scores` are of the first of `found`; each becomes the `fused` of its chunk.
    """
    scored = [replace(one, fused=score) for one, score in zip(found, scores, strict=False)]
    return [*sorted(scored, key=lambda one: -one.fused), *found[len(scored) :]][:k]
