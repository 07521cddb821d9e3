"""Ranking by words: postings that are cut and joined, and common words that do not decide what is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.domain import lexical
from rag.domain.lexical import Lexicon
from rag.domain.postings import MAX_COUNT, UNSTEMMED, Postings, joined

TEXTS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=9).map(" ".join), max_size=12)
NONE = Postings.of((), UNSTEMMED)


def postings(texts: Sequence[str]) -> Postings:
    return Postings.of(texts, UNSTEMMED)


def same(one: Postings, other: Postings) -> bool:
    return all(
        np.array_equal(array, other.arrays()[name]) and array.dtype == other.arrays()[name].dtype
        for name, array in one.arrays().items()
    )


def best(lexicon: Lexicon, text: str, depth: int = 10) -> list[int]:
    rows, _ = lexicon.best(UNSTEMMED.question(text), None, depth)
    return [int(row) for row in rows]


@given(TEXTS, TEXTS, TEXTS)
def test_joined_postings_are_those_of_all_the_texts(first: list[str], second: list[str], third: list[str]) -> None:
    together = joined([postings(first), postings(second), postings(third)])
    assert same(together, postings([*first, *second, *third]))


@given(TEXTS, st.data())
def test_postings_of_some_rows_are_those_of_their_texts(texts: list[str], data: st.DataObject) -> None:
    kept = sorted(data.draw(st.sets(st.integers(0, len(texts) - 1)))) if texts else []
    assert same(postings(texts).kept(np.array(kept, np.int64)), postings([texts[row] for row in kept]))


def test_a_word_that_stands_very_often_counts_as_255() -> None:
    assert postings(["a " * 1_000]).counts.tolist() == [MAX_COUNT]


def test_a_rare_word_says_more_than_a_common_one() -> None:
    lexicon = Lexicon.of([postings(["common", "common", "common rare", "common"])], NONE)
    assert best(lexicon, "common rare")[0] == 2
    assert best(lexicon, "nothing of it") == []


def test_what_is_gone_does_not_count_in_the_statistics() -> None:
    texts = ["a", "a", "b", "c"]
    changed = Lexicon.of([postings(texts), postings(["b"])], postings(["a"]))
    assert changed.statistics.chunks == 4
    assert changed.statistics == Lexicon.of([postings(["a", "b", "c", "b"])], NONE).statistics


@given(TEXTS.filter(any), st.integers(1, 5), st.integers(0, 20))
def test_a_bounded_search_finds_the_best_by_the_rarer_words_with_their_whole_scores(
    texts: list[str], depth: int, bound: int
) -> None:
    lexicon = Lexicon.of([postings(texts * 3)], NONE)
    terms = UNSTEMMED.question("a b c d e f g h")
    rows, sums = lexicon.best(terms, None, 1_000)
    whole = dict(zip(rows.tolist(), sums.tolist(), strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexical, "EXACT_POSTINGS", bound)
        found, scores = lexicon.best(terms, None, depth)
    assert len(found) == min(depth, len(rows))
    assert all(whole[row] == score for row, score in zip(found.tolist(), scores.tolist(), strict=True))


def test_common_words_choose_nothing_where_rarer_ones_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["the"] * 500 + ["the rare"] * 20
    monkeypatch.setattr(lexical, "EXACT_POSTINGS", 100)
    lexicon = Lexicon.of([postings(texts)], NONE)
    assert best(lexicon, "the rare") == list(range(500, 510))
    assert len(best(lexicon, "the rare", 100)) == 100  # the rarer do not suffice: all are counted
    assert len(best(lexicon, "the", 100)) == 100


def test_a_filter_counts_while_candidates_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "EXACT_POSTINGS", 10)
    texts = ["the rare"] * 50 + ["the"] * 50
    allowed = np.arange(100) >= 50
    rows, _ = Lexicon.of([postings(texts)], NONE).best(UNSTEMMED.question("the rare"), allowed, 20)
    assert rows.tolist() == list(range(50, 70))


def test_of_a_page_for_a_question_the_rarest_words_count() -> None:
    words = [f"w{number}" for number in range(500)]
    lexicon = Lexicon.of([postings([" ".join(words), "w499 w499"])], NONE)
    assert best(lexicon, " ".join(words))[0] == 0
