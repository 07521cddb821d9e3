"""Where letters that look like others make an expression match."""

from __future__ import annotations

from collections.abc import Iterator

from guard.alphabets import is_at_home
from guard.expressions import Expression

PIECE = 64
"""Matches that only look-alike letters make, and whose company is looked at: a millisecond."""


def disguised(
    one: Expression, plain: str, skeleton: str, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, int] | None]:
    """Where an expression matches letters that look like others, other than in words that are at home there; None
    after each piece of the work."""
    if skeleton == plain:
        return
    looked_at = 0
    for first, last in one.spans(skeleton, start, end):
        if plain[first:last] != skeleton[first:last]:
            looked_at += 1
            if not is_at_home(plain, first, last):
                yield first, last
            if looked_at % PIECE == 0:
                yield None
