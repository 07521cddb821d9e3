"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): of passages that say the same, one is enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.domain.vectors import HalfMatrix

POOL = 50
"""Of how many best at least the answer is picked."""


def pool_size(k: int) -> int:
    return max(POOL, 4 * k)


def diverse(
    pool: Sequence[tuple[int, float]], vectors: HalfMatrix, k: int, diversity: float
) -> list[tuple[int, float]]:
    """`k` of the pool's rows in the order in which they are picked; each keeps its value.

    A pick has the greatest (1 - diversity) · value - diversity · cosine with the nearest that was picked before, values
    scaled to 0…1 among the pool. `vectors[i]` is the embedding of `pool[i]`.
    """
    if not pool:
        return []
    values = np.array([value for _, value in pool])
    spread = float(np.ptp(values)) or 1.0
    merit = (1.0 - diversity) * (values - values.min()) / spread
    rows = vectors.astype(np.float32)
    nearest = np.zeros(len(pool))
    picked: list[int] = []
    for _ in range(min(k, len(pool))):
        gain = merit - diversity * nearest
        gain[picked] = -np.inf
        best = int(np.argmax(gain))
        similar = rows @ rows[best]
        nearest = np.maximum(nearest, similar) if picked else similar
        picked.append(best)
    return [pool[place] for place in picked]
