"""What an answer is said to rest on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.citations import SNIPPET_CHARS, cite, snippet, sources
from support.turns import a_passage

PASSAGES = [a_passage("c1", "Rice has starch."), a_passage("c2", "Oil is 8.95 euros."), a_passage("c3", "It rains.")]


def test_marked_passages_are_cited_in_the_order_of_their_marks() -> None:
    cited = cite("So [3], and [1].", PASSAGES, marked=(3, 1))
    assert [(one.number, one.chunk_id, one.marked) for one in cited] == [(3, "c3", True), (1, "c1", True)]


def test_without_a_mark_the_passages_that_the_answer_comes_from_are_cited_and_say_so() -> None:
    cited = cite("It costs 8.95 euros.", PASSAGES, question="What is the price of oil?")
    assert [(one.number, one.chunk_id, one.marked) for one in cited] == [(2, "c2", False)]


def test_what_was_only_retrieved_is_no_citation() -> None:
    assert cite("So it is.", PASSAGES) == []


def test_without_passages_nothing_is_cited() -> None:
    assert cite("So it is [1].", []) == []


def test_all_that_the_model_was_given_are_sources_by_their_numbers() -> None:
    assert [(one.number, one.chunk_id) for one in sources(PASSAGES)] == [(1, "c1"), (2, "c2"), (3, "c3")]


def test_a_citation_carries_the_passage_and_its_score() -> None:
    (citation,) = cite("", [a_passage("c9", "short\n text", score=0.61)], marked=(1,))
    assert (citation.chunk_id, citation.document_id, citation.title) == ("c9", "d1", "Food")
    assert (citation.score, citation.snippet) == (0.61, "short text")


@given(st.text(max_size=2000))
def test_a_snippet_is_one_short_line(text: str) -> None:
    line = snippet(text)
    assert len(line) <= SNIPPET_CHARS + 1
    assert "\n" not in line


def test_a_long_snippet_ends_at_a_word() -> None:
    assert snippet("word " * 100) == ("word " * 48).strip() + "…"
