"""A text is cut into words that a question finds again, in any script, in linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.adapters.stemming import Stemmer
from rag.domain.words import MAX_WORD_CHARS, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Panthers' 2 snake_case e-mails", ["the", "panthers", "2", "snake", "case", "e", "mails"]),
        ("CAFÉ naïve Straße", ["cafe", "naive", "strasse"]),
        ("cafe\u0301", ["cafe"]),
        ("ＦＵＬＬ width", ["full", "width"]),  # noqa: RUF001 - full-width letters are what is tested
        ("Ёлка йод", ["елка", "йод"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("שָׁלוֹם مُحَمَّد", ["שלום", "محمد"]),
        ("東京都", ["東", "京", "都", "東京", "京都"]),
        ("x東y", ["x", "東", "y"]),
        ("서울에", ["서", "울", "에", "서울", "울에"]),
        ("?! …", []),
        ("", []),
    ],
)
def test_words_are_folded_and_spaceless_scripts_come_as_characters_and_pairs(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_long_run_is_known_by_its_beginning() -> None:
    assert words("x" * 5_000) == ["x" * MAX_WORD_CHARS]


@given(st.text())
def test_any_text_gives_words_without_space_or_case(text: str) -> None:
    for word in words(text):
        assert word
        assert len(word) <= MAX_WORD_CHARS
        assert not any(character.isspace() for character in word)
        assert word == word.lower()


@pytest.mark.parametrize(
    "text",
    ["a" + "\u0316\u0301" * 16_000, "क" + "\u094d\u093c" * 16_000, "\u05b4\u05b0" * 16_000, "ﷺ" * 32_000],
    ids=["marks", "nukta", "points", "expanding"],
)
def test_hostile_runs_of_marks_take_linear_time(text: str) -> None:
    started = time.thread_time()
    words(text)
    assert time.thread_time() - started < 1  # measured: 1 to 130 ms; in order of insertion it would be many seconds


@pytest.mark.parametrize(
    ("one", "other"),
    [("running", "runs"), ("defences", "defence"), ("красивого", "красивый"), ("δρόμος", "δρόμου"), ("東京", "東京")],
)
def test_forms_of_a_word_have_one_stem_by_the_rules_of_its_script(one: str, other: str) -> None:
    stem = Stemmer()
    assert stem(words(one)[0]) == stem(words(other)[0])


def test_a_stem_of_letters_without_rules_is_the_word() -> None:
    assert [Stemmer()(word) for word in ("東京", "नमस्ते", "42", "🙂")] == ["東京", "नमस्ते", "42", "🙂"]
