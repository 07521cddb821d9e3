"""Texts of like length go side by side, each exactly once, within the tokens that a batch may have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.domain.batches import by_length


@given(st.lists(st.integers(0, 256), max_size=60), st.integers(1, 1_024))
def test_every_text_is_in_one_batch_and_no_batch_of_several_has_more_tokens_than_it_may(
    lengths: list[int], most_tokens: int
) -> None:
    batches = list(by_length(lengths, most_tokens=most_tokens))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= most_tokens
    ordered = [lengths[place] for batch in batches for place in batch]
    assert ordered == sorted(ordered)


def test_a_long_text_does_not_make_short_ones_as_long() -> None:
    assert list(by_length([5, 250, 6, 5], most_tokens=256)) == [[0, 3, 2], [1]]
