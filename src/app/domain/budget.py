"""What goes into a prompt whose parts do not all fit into the model's context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MESSAGE_TOKENS = 12
"""Of the chat format around one message: its role and its ends. Templates in use take 3 to 8."""
FRAME_TOKENS = 32
"""Of the chat format around all: its beginning, and the beginning of the answer."""
PASSAGE_TOKENS = 24
"""Of a passage's number, quotation marks and its warning."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """What is left in: the turns from this index on, and so many passages, the best first."""

    first_turn: int
    passages: int


def fit(room: int, fixed: int, turns: Sequence[int], passages: Sequence[int]) -> Fitting:
    """By tokens. `room` is for the whole prompt, `fixed` of it is taken by what must be in. The oldest turns go first,
    then the lowest passages; even without any of them it may be too long."""
    first, kept = 0, len(passages)
    used = fixed + sum(turns) + sum(passages)
    while used > room and first < len(turns):
        used -= turns[first]
        first += 1
    while used > room and kept:
        kept -= 1
        used -= passages[kept]
    return Fitting(first, kept)


def estimate(text: str) -> int:
    """Tokens of a text where nobody counts them, rather too many: three letters of ASCII, one of other scripts."""
    wide = 0 if text.isascii() else sum(letter > "\x7f" for letter in text)
    return (len(text) - wide) // 3 + wide + 1
