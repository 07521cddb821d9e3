"""The marks of an answer as it flows: what belongs to no passage goes, what is code stays."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.marks import MAX_MARK, MarkFilter

PIECES = st.text(alphabet="[]0123456789, `a.\n\u0663", max_size=60)


def filtered(text: str, passages: int, cuts: list[int] | None = None) -> tuple[str, tuple[int, ...]]:
    marks = MarkFilter(passages)
    places = sorted({min(cut, len(text)) for cut in cuts or []} | {0, len(text)})
    pieces = [text[start:end] for start, end in pairwise(places)]
    return "".join([*(marks.feed(piece) for piece in pieces), marks.finish()]), marks.cited


@pytest.mark.parametrize(
    ("answer", "left", "cited"),
    [
        ("So it is [1].", "So it is [1].", (1,)),
        ("So it is [7].", "So it is.", ()),
        ("So [3], and [1]; again [3].", "So [3], and [1]; again [3].", (3, 1)),
        ("Both [1][9].", "Both [1].", (1,)),
        ("Both [2, 3] and [2,8] and [8, 9].", "Both [2, 3] and [2] and.", (2, 3)),
        ("None [0].", "None.", ()),
        ("[one] [1.5] [-1] [ 1] [\u0663] [1234] [] [,] 1", "[one] [1.5] [-1] [ 1] [\u0663] [1234] [] [,] 1", ()),
        ("[[2]]", "[[2]]", (2,)),
        ("It ends [1", "It ends [1", ()),
        ("It ends ", "It ends ", ()),
    ],
)
def test_a_mark_that_belongs_to_no_passage_is_taken_out_and_the_others_are_cited(
    answer: str, left: str, cited: tuple[int, ...]
) -> None:
    assert filtered(answer, 3) == (left, cited)


def test_what_looks_like_a_mark_in_code_is_an_index() -> None:
    code = "Use `row[9]`, or:\n```py\nx[8] = y[1]\n```\nas said [1]."
    assert filtered(code, 1) == (code, (1,))
    assert filtered("a ` alone\nthen [9].", 1) == ("a ` alone\nthen.", ())


@given(PIECES, st.integers(0, 12), st.lists(st.integers(0, 60), max_size=20))
def test_it_does_not_matter_how_the_answer_is_cut(answer: str, passages: int, cuts: list[int]) -> None:
    assert filtered(answer, passages, cuts) == filtered(answer, passages)
    assert filtered(answer, passages, list(range(60))) == filtered(answer, passages)


@given(PIECES, st.integers(0, 12))
def test_what_is_left_is_checked_already(answer: str, passages: int) -> None:
    left, cited = filtered(answer, passages)
    assert all(1 <= number <= passages for number in cited)
    if "`" not in answer and "[" not in left.replace("[" + "]", ""):
        assert filtered(left, passages)[0] == left


@given(PIECES)
def test_no_more_is_held_back_than_a_mark_has_characters(answer: str) -> None:
    marks = MarkFilter(3)
    said = 0
    for place, char in enumerate(answer, start=1):
        said += len(marks.feed(char))
        assert place - said <= MAX_MARK * answer.count("]") + MAX_MARK


def test_nothing_is_held_back_of_text_without_brackets() -> None:
    marks = MarkFilter(2)
    assert [marks.feed(piece) for piece in ("Olive", " oil", " costs", " 8.95")] == ["Olive", " oil", " costs", " 8.95"]
