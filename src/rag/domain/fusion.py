"""Two rankings made one by reciprocal ranks (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Sequence

SMOOTHING = 60
"""The k of the paper: how little the first places stand out from those behind them."""

DEPTH = 100
"""Places of each ranking that are fused, where not more are asked for."""


def fused(rankings: Sequence[tuple[float, Sequence[int]]]) -> list[tuple[int, float]]:
    """Rows with the sum of weight / (60 + place) over the rankings, best first; equal sums in the order of rows.

    Each ranking is its weight and its rows, best first.
    """
    sums: dict[int, float] = {}
    for weight, rows in rankings:
        for place, row in enumerate(rows, start=1):
            sums[row] = sums.get(row, 0.0) + weight / (SMOOTHING + place)
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))
