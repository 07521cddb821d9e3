"""How far a detector looks."""

from __future__ import annotations

from typing import NamedTuple


class Bounds(NamedTuple):
    """Characters; see `guard.detectors.Detector`."""

    max_width: int
    reach: int
    look_behind: int


def word_tail(shadow: str, reach: int) -> int:
    """Where the last word begins, cut to `reach`; the end, where the text ends in white space."""
    tail = shadow[-reach:]
    if not tail or tail[-1].isspace():
        return len(shadow)
    return len(shadow) - len(tail.split()[-1])
