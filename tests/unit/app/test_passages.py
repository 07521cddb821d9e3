"""Which passages reach the prompt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.passages import select_passages
from support.turns import a_passage


def test_irrelevant_passages_are_left_out_and_the_rest_keeps_the_order_of_the_search() -> None:
    found = [a_passage("has the words", score=0.4), a_passage("far", score=0.1), a_passage("nearest", score=0.9)]
    chosen = select_passages(found, min_score=0.25, max_bytes=10_000)
    assert [passage.chunk_id for passage in chosen] == ["has the words", "nearest"]


def test_the_first_that_does_not_fit_is_cut_and_the_rest_left_out() -> None:
    found = [a_passage("a", "x" * 600), a_passage("b", "y" * 600, 0.7), a_passage("c", "z", 0.6)]
    chosen = select_passages(found, min_score=0.25, max_bytes=1000)
    assert [(passage.chunk_id, len(passage.text)) for passage in chosen] == [("a", 600), ("b", 400)]


def test_a_stub_is_not_worth_its_number() -> None:
    found = [a_passage("a", "x" * 600), a_passage("b", "y" * 600, 0.7)]
    assert [passage.chunk_id for passage in select_passages(found, min_score=0.25, max_bytes=700)] == ["a"]


@given(st.lists(st.tuples(st.text(max_size=400), st.floats(-1, 1)), max_size=8), st.integers(0, 1000))
def test_the_budget_holds_whatever_the_script(texts: list[tuple[str, float]], max_bytes: int) -> None:
    found = [a_passage(str(at), text, score) for at, (text, score) in enumerate(texts)]
    chosen = select_passages(found, min_score=0.25, max_bytes=max_bytes)
    assert sum(len(passage.text.encode()) for passage in chosen) <= max_bytes
    assert all(passage.score >= 0.25 for passage in chosen)
