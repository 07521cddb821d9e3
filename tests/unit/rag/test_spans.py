"""Chunks say truly where they stand, miss nothing, and fit the model, whatever the text."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.domain.spans import Span, fitting, overlapping, spans_of, trimmed
from rag.ingestion.chunker import OVERLAP_CHARS, PIECE_CHARS, Chunker
from rag.ingestion.parsing import Format, Parsed
from rag.ingestion.splitting import split

MAX_TOKENS = 254

WORDS = st.sampled_from(
    [
        *("milk", "price.", "a", "价格。", "é\u0301", "!?", "x" * 900, "9" * 300, "😀" * 40),
        *("\n", "\n\n", "\r\n", "  ", "\u00a0", "\t", "\u2028", "# Head\n", "\n## Sub\n", "```\n", "\n---\n"),
    ]
)
TEXTS = st.one_of(st.text(max_size=3_000), st.lists(WORDS, max_size=400).map(" ".join), st.lists(WORDS).map("".join))
FORMATS = st.sampled_from(Format)


def tokens(texts: Sequence[str]) -> list[int]:
    """Like WordPiece at its densest: a token for a mark, one for every four letters of a word."""
    return [
        sum(-(-len(word) // 4) if word.isalnum() else len(word) for word in re.findall(r"\w+|[^\w\s]", text))
        for text in texts
    ]


def chunked(text: str, kind: Format) -> list[Span]:
    return Chunker(tokens, MAX_TOKENS).spans(Parsed(text, kind))


@given(TEXTS, FORMATS)
def test_the_splitters_pieces_are_the_text_itself(text: str, kind: Format) -> None:
    assert "".join(split(text, kind, size=PIECE_CHARS)) == text


@given(TEXTS, FORMATS)
def test_every_visible_character_lies_in_a_chunk_and_chunks_run_in_order(text: str, kind: Format) -> None:
    covered: set[int] = set()
    spans = chunked(text, kind)
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        covered.update(range(span.start, span.end))
    assert {at for at, character in enumerate(text) if not character.isspace()} <= covered
    assert spans == sorted(spans, key=lambda span: span.start)
    assert len({span.start for span in spans}) == len(spans)


@given(TEXTS, FORMATS)
def test_no_chunk_is_larger_than_the_model_reads_or_begins_with_space(text: str, kind: Format) -> None:
    for span in chunked(text, kind):
        body = span.of(text)
        assert body == body.strip()
        assert len(body) <= PIECE_CHARS + OVERLAP_CHARS
        assert tokens([body])[0] <= MAX_TOKENS


def test_a_sentence_across_a_cut_is_found_by_both_chunks() -> None:
    text = " ".join(f"word{number}" for number in range(400))
    spans = chunked(text, Format.PLAIN)
    assert len(spans) > 2
    for before, after in pairwise(spans):
        assert before.end - OVERLAP_CHARS <= after.start < before.end
        assert after.of(text).startswith("word")  # the overlap begins at a word


def test_markdown_is_cut_before_headings_and_a_heading_begins_its_chunk() -> None:
    text = "\n".join(f"## Section {number}\n\n" + "All about it. " * 40 for number in range(5))
    starts = [span.of(text) for span in chunked(text, Format.MARKDOWN)]
    assert [body[:12] for body in starts] == [f"## Section {number}" for number in range(5)]


def test_dense_text_is_halved_at_a_space_until_it_fits() -> None:
    text = "one two three four five six seven eight"
    spans = fitting(text, [Span(0, len(text))], max_tokens=3, count=lambda texts: [len(t.split()) for t in texts])
    assert [span.of(text) for span in spans] == ["one two three", "four five", "six seven eight"]


def test_a_run_without_spaces_is_cut_by_length_and_overlaps() -> None:
    text = "x" * 20
    spans = overlapping(text, spans_of([text], text, size=8), 3)
    assert spans == [Span(0, 8), Span(5, 16), Span(13, 20)]


def test_trimming_nothing_but_space_leaves_nothing() -> None:
    span = trimmed("a   b", Span(1, 4))
    assert span.start == span.end


@pytest.mark.parametrize(
    "repeated",
    ["a\n", "a ", "x", "\n", "# a\n", "\n \t", ". ", "```\n"],
    ids=["lines", "words", "one word", "blank lines", "headings", "mixed blanks", "stops", "fences"],
)
def test_a_megabyte_of_anything_is_cut_in_a_second(repeated: str) -> None:
    text = "y" + repeated * (1_048_576 // len(repeated)) + "y"
    started = time.process_time()
    spans = Chunker(lambda texts: [len(text) // 4 for text in texts], MAX_TOKENS).spans(Parsed(text, Format.MARKDOWN))
    assert spans
    assert time.process_time() - started < 5  # measured: 0.1 to 1, and eight times that for eight
