"""What a word in a chunk weighs (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009)."""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
B = 0.75

UNIT = 1 << 16
"""Weights are whole numbers of 1/65,536: their sum does not depend on the order in which they are added."""


def rarity(chunks: int, holding: int) -> float:
    """Of a word that `holding` of `chunks` chunks have. Never negative, however common the word is."""
    return log(1.0 + (chunks - holding + 0.5) / (holding + 0.5))


def weights(
    rarity: float | NDArray[np.float64],
    counts: NDArray[np.float64],
    lengths: NDArray[np.float64] | NDArray[np.uint32],
    mean_length: float,
) -> NDArray[np.float64]:
    """Of a word that stands `counts` times in chunks of `lengths` words; whole numbers of 1/65,536."""
    damped = counts + K1 * (1.0 - B + B * lengths / mean_length)
    whole: NDArray[np.float64] = np.rint(UNIT * rarity * (K1 + 1.0) * counts / damped)
    return whole
