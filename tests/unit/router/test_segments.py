"""An answer is cut by its text alone, its pieces are its text, and what is judged has what went before."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.segments import (
    CONTEXT_CHARS,
    MAX_CHARS,
    MIN_CHARS,
    OVERLAP_CHARS,
    PIECE_CHARS,
    Segment,
    Segments,
    pieces,
)

TEXT = st.lists(
    st.one_of(
        st.sampled_from(
            [". ", '." ', ".)", "!", "?\n", "\n", "。", "… ", " ", "  ", "word", "a" * 59, "x" * 70, "y" * 230]
        ),
        st.text(max_size=5),
    ),
    max_size=40,
).map("".join)


def cut(*parts: str) -> list[Segment]:
    segments = Segments()
    found = [segment for part in parts for segment in segments.feed(part)]
    return found + segments.finish()


@given(TEXT, st.lists(st.integers(1, 400), max_size=60))
def test_however_the_text_comes_its_segments_are_the_same(text: str, sizes: list[int]) -> None:
    parts, rest = [], text
    for size in sizes:
        parts.append(rest[:size])
        rest = rest[size:]
    whole = cut(text)
    assert cut(*parts, rest) == whole == cut(*text)
    assert "".join(segment.text for segment in whole) == text


@given(TEXT)
def test_segments_have_their_bounds_and_what_went_before(text: str) -> None:
    found, before = cut(text), ""
    for segment in found:
        assert segment.judged == (before + segment.text)[-(CONTEXT_CHARS + len(segment.text)) :]
        before += segment.text
    assert all(MIN_CHARS <= len(segment.text) <= MAX_CHARS for segment in found[:-1])
    assert all(len(segment.judged) <= 1_000 for segment in found)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Short. " + "And this is the sentence with which sixty characters are full. Then more.", 70),
        ("a" * 80 + ".\nmore", 82),
        ("a" * 80 + '."\u201d) more', 85),
        ("价" * 70 + "。价", 71),
        ("- item " + "b" * 60 + "\n- item", 68),
        ("3.14159 is a number with a point in it, which no white space follows, and 2.71828 is one too. Yes.", 94),
        ("word " * 60, MAX_CHARS),
        ("w" * 150 + " " + "w" * 100, 151),
        ("w" * 300, MAX_CHARS),
    ],
)
def test_a_segment_ends_with_a_sentence_else_with_a_word_else_at_its_bound(text: str, first: int) -> None:
    assert len(cut(text)[0].text) == first


def test_a_segment_leaves_as_soon_as_its_end_is_seen() -> None:
    segments = Segments()
    assert segments.feed("a" * 70 + ".") == []
    assert [segment.text for segment in segments.feed(" ")] == ["a" * 70 + ". "]


def test_a_long_answer_is_cut_in_linear_time() -> None:
    def took(text: str) -> float:
        tries = []
        for _ in range(5):
            began = time.thread_time()
            Segments().feed(text)
            tries.append(time.thread_time() - began)
        return min(tries)

    assert took(" ." * 200_000) < 12 * took(" ." * 50_000)


@given(st.integers(0, 4 * PIECE_CHARS))
def test_the_pieces_of_a_prompt_overlap_and_leave_nothing_out(length: int) -> None:
    text = "".join(chr(0x4E00 + number % 20_000) for number in range(length))
    found = pieces(text)
    assert found[0] + "".join(piece[OVERLAP_CHARS:] for piece in found[1:]) == text
    assert all(len(piece) <= PIECE_CHARS for piece in found)
    assert len(found) == 1 or all(len(piece) > OVERLAP_CHARS for piece in found)
