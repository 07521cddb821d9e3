"""Which of the found passages go into the prompt."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.retrieval import Passage

WORTH_CUTTING_BYTES = 200
"""A passage is cut to what is left of the budget, unless less than this would remain of it."""


def select_passages(found: Sequence[Passage], *, min_score: float, max_bytes: int) -> tuple[Passage, ...]:
    """The relevant ones that fit together, in the order of the search, which knows words as well as vectors; the first
    that does not fit is cut, those after it left out.

    Bytes are counted, not characters: a token is about four of them in English and seldom more elsewhere.
    """
    chosen: list[Passage] = []
    left = max_bytes
    for passage in found:
        if passage.score < min_score:
            continue
        encoded = passage.text.encode()
        if len(encoded) > left:
            if left >= WORTH_CUTTING_BYTES:
                head = encoded[:left].decode(errors="ignore")  # a character cut in half is dropped
                chosen.append(passage.model_copy(update={"text": head}))
            break
        chosen.append(passage)
        left -= len(encoded)
    return tuple(chosen)
