"""Two rankings made one by reciprocal ranks (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Sequence

SMOOTHING = 60
"""The k of the paper: how little the first places stand out from those behind them."""

DEPTH = 100
"""Places of each ranking that are fused, where not more are asked for."""


def fused(rankings: Sequence[tuple[float, Sequence[int]]]) -> list[tuple[int, float]]:
    """Rows with the sum of weight / (60 + place) over the rankings, best first.

    Each ranking is its weight and its rows, best first. Equal sums are common, as where each ranking has the other's
    second first: then the last ranking decides, which is that of words where there are two, and then the row.
    """
    sums: dict[int, float] = {}
    for weight, rows in rankings:
        for place, row in enumerate(rows, start=1):
            sums[row] = sums.get(row, 0.0) + weight / (SMOOTHING + place)
    last = {row: place for place, row in enumerate(rankings[-1][1])} if rankings else {}
    return sorted(sums.items(), key=lambda item: (-item[1], last.get(item[0], len(last)), item[0]))
