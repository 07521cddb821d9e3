"""Which texts go through a model side by side. Every row of a batch is as long as its longest: the rest is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def by_length(lengths: Sequence[int], *, most_tokens: int) -> Iterator[list[int]]:
    """The places of all `lengths` (tokens of each text) in batches of texts of like length, the shortest first.

    A batch has at most `most_tokens` tokens with its padding, or one text.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[place] > most_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
