"""What an answer without marks is said to rest on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.evidence import supported

OIL = "The cheapest extra virgin olive oil is at Greenfield Market: Campo Verde costs 7.49 euros."
RETURNS = "Unopened goods can be returned within 14 days. Vegetables cannot be returned."
PASSAGES = [OIL, RETURNS]


@pytest.mark.parametrize(
    ("answer", "question", "numbers"),
    [
        ("Campo Verde at Greenfield Market, for 7.49 euros.", "Which olive oil is cheapest?", [1]),
        ("7.49", "What does it cost?", [1]),
        ("Within 14 days.", "Until when can I return goods?", [2]),
        ("Vegetables cannot be returned. Campo Verde is 7.49 euros.", "?", [2, 1]),
        ("The capital of France is Paris.", "What is the capital of France?", []),
        ("I cannot say what olive oil costs.", "What does olive oil cost?", []),
        ("What does olive oil cost?", "What does olive oil cost?", []),
        ("", "?", []),
        ("!!!", "?", []),
    ],
)
def test_a_sentence_rests_on_the_passage_that_has_most_of_what_it_says_beyond_the_question(
    answer: str, question: str, numbers: list[int]
) -> None:
    assert supported(answer, question, PASSAGES) == numbers


def test_a_language_without_spaces_is_compared_too() -> None:
    assert supported("橄榄油每升八欧元。", "价格？", ["橄榄油每升八欧元，在河边商店。", "退货期限十四天。"]) == [1]


@given(st.text(max_size=200), st.text(max_size=50), st.lists(st.text(max_size=100), max_size=4))
def test_only_passages_that_exist_are_named_and_each_once(answer: str, question: str, passages: list[str]) -> None:
    numbers = supported(answer, question, passages)
    assert len(set(numbers)) == len(numbers)
    assert all(1 <= number <= len(passages) for number in numbers)
