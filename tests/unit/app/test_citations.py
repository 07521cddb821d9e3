"""What an answer is said to rest on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.citations import SNIPPET_CHARS, cite, cited_numbers, snippet
from support.turns import a_passage

PASSAGES = [a_passage("c1"), a_passage("c2"), a_passage("c3")]


def chunks(answer: str) -> list[str]:
    return [citation.chunk_id for citation in cite(answer, PASSAGES)]


def test_marked_passages_are_cited_in_the_order_of_their_marks_and_once() -> None:
    assert chunks("So [3], and [1]; again [3].") == ["c3", "c1"]


def test_a_mark_that_belongs_to_no_passage_cites_nothing() -> None:
    assert chunks("Thus [2] and [7] and [0].") == ["c2"]


def test_an_answer_without_a_valid_mark_rests_on_all_that_the_model_was_given() -> None:
    assert chunks("So it is.") == ["c1", "c2", "c3"]
    assert chunks("So it is [9].") == ["c1", "c2", "c3"]


def test_without_passages_nothing_is_cited() -> None:
    assert cite("So it is [1].", []) == []


def test_only_plain_numbers_in_brackets_are_marks() -> None:
    assert cited_numbers("[one] [1.5] [-1] [ 1] [٣] [1234] 1 [[2]]", 3) == [2]


@given(st.text(), st.integers(0, 200))
def test_no_text_makes_a_number_that_does_not_exist(answer: str, passages: int) -> None:
    numbers = cited_numbers(answer, passages)
    assert len(set(numbers)) == len(numbers)
    assert all(1 <= number <= passages for number in numbers)


def test_a_citation_carries_the_passage_and_its_score() -> None:
    (citation,) = cite("", [a_passage("c9", "short\n text", score=0.61)])
    assert (citation.chunk_id, citation.document_id, citation.title) == ("c9", "d1", "Food")
    assert (citation.score, citation.snippet) == (0.61, "short text")


@given(st.text(max_size=2000))
def test_a_snippet_is_one_short_line(text: str) -> None:
    line = snippet(text)
    assert len(line) <= SNIPPET_CHARS + 1
    assert "\n" not in line


def test_a_long_snippet_ends_at_a_word() -> None:
    assert snippet("word " * 100) == ("word " * 48).strip() + "…"
