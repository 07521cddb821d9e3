"""Chunks say truly where they stand, miss nothing, and fit the model, whatever the text and its structure."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BodyTooLargeError
from rag.domain.extracted import Block, Extracted, Kind, Parsed, Piece
from rag.domain.spans import Span, fitting, overlapping, spans_of, trimmed
from rag.ingestion.chunker import Chunker, Cut
from rag.ingestion.cutting import LONGEST_PIECE_CHARS, OVERLAP_CHARS, PIECE_CHARS, SECTION_CHARS, cut
from rag.ingestion.formats.markdown import blocks_of
from rag.ingestion.formats.writing import Writer
from rag.ingestion.splitting import split

MAX_TOKENS = 254

WORDS = st.sampled_from(
    [
        *("milk", "price.", "a", "价格。", "é\u0301", "!?", "x" * 900, "9" * 300, "😀" * 40),
        *("\n", "\n\n", "\r\n", "  ", "\u00a0", "\t", "\u2028", "# Head\n", "\n## Sub\n", "```\n", "\n---\n"),
        *("\n| a | b |\n", "\n|---|---|\n", "\n# " + "long " * 60 + "\n", "~~~~\n"),
    ]
)
TEXTS = st.one_of(st.text(max_size=3_000), st.lists(WORDS, max_size=400).map(" ".join), st.lists(WORDS).map("".join))
KINDS = st.sampled_from(Kind)


def plain(text: str) -> Parsed:
    return Parsed(text, (Block(0, len(text), Kind.TEXT),) if text else ())


def markdown(text: str) -> Parsed:
    return Parsed(text, tuple(blocks_of(text)))


@st.composite
def written(draw: st.DrawFn) -> Parsed:
    """What the formats that make their own text put together."""
    writer = Writer()
    for _ in range(draw(st.integers(0, 30))):
        text = draw(st.one_of(st.lists(WORDS, max_size=60).map(" ".join), st.text(max_size=200)))
        match draw(st.integers(0, 3)):
            case 0:
                writer.heading(draw(st.integers(1, 6)), text)
            case 1:
                writer.text(text)
            case 2:
                writer.code(text)
            case _:
                cells = text.split(" ") or [""]
                writer.table(cells[:3], [cells[at : at + 3] for at in range(0, len(cells), 3)])
    return writer.parsed()


DOCUMENTS = st.one_of(TEXTS.map(plain), TEXTS.map(markdown), written())


def tokens(texts: Sequence[str]) -> list[int]:
    """Like WordPiece at its densest: a token for a mark, one for every four letters of a word."""
    return [
        sum(-(-len(word) // 4) if word.isalnum() else len(word) for word in re.findall(r"\w+|[^\w\s]", text))
        for text in texts
    ]


def chunked(parsed: Parsed) -> list[Cut]:
    extracted = cut(parsed)
    return Chunker(tokens, MAX_TOKENS).cuts(extracted.text, extracted.pieces)


@given(TEXTS, KINDS)
def test_the_splitters_pieces_are_the_text_itself(text: str, kind: Kind) -> None:
    assert "".join(split(text, kind, size=PIECE_CHARS)) == text


@given(TEXTS)
def test_the_blocks_of_markdown_are_the_text_itself(text: str) -> None:
    blocks = list(blocks_of(text))
    assert "".join(text[block.start : block.end] for block in blocks) == text
    assert all(before.end == after.start for before, after in pairwise(blocks))


@given(DOCUMENTS)
def test_every_visible_character_lies_in_a_chunk_and_chunks_run_in_order(parsed: Parsed) -> None:
    covered: set[int] = set()
    spans = [found.span for found in chunked(parsed)]
    for span in spans:
        assert 0 <= span.start < span.end <= len(parsed.text)
        covered.update(range(span.start, span.end))
    assert {at for at, character in enumerate(parsed.text) if not character.isspace()} <= covered
    assert spans == sorted(spans, key=lambda span: span.start)
    assert len({span.start for span in spans}) == len(spans)


@given(DOCUMENTS)
def test_no_chunk_is_larger_than_the_model_reads_or_begins_with_space(parsed: Parsed) -> None:
    for found in chunked(parsed):
        body = found.span.of(parsed.text)
        assert body == body.strip()
        assert len(body) <= LONGEST_PIECE_CHARS + OVERLAP_CHARS
        assert tokens([found.context + body])[0] <= MAX_TOKENS or len(body) == 1


@given(DOCUMENTS)
def test_a_chunks_heading_is_one_of_the_documents(parsed: Parsed) -> None:
    paths = {block.heading for block in parsed.blocks}
    assert {found.heading for found in chunked(parsed)} <= paths


def test_a_sentence_across_a_cut_is_found_by_both_chunks() -> None:
    text = " ".join(f"word{number}" for number in range(400))
    spans = [found.span for found in chunked(plain(text))]
    assert len(spans) > 2
    for before, after in pairwise(spans):
        assert before.end - OVERLAP_CHARS <= after.start < before.end
        assert after.of(text).startswith("word")  # the overlap begins at a word


def test_a_section_begins_its_chunk_and_its_heading_stands_above_it() -> None:
    text = "\n".join(f"## Section {number}\n\n" + "All about it. " * 40 for number in range(5))
    found = chunked(markdown(text))
    assert [item.span.of(text)[:12] for item in found] == [f"## Section {number}" for number in range(5)]
    assert [item.heading for item in found] == [f"Section {number}" for number in range(5)]


def test_a_heading_does_not_stand_alone_before_a_long_paragraph() -> None:
    text = "# Top\n\n" + "x" * PIECE_CHARS
    assert len(cut(markdown(text)).pieces) == 1


def test_short_sections_share_a_chunk_and_long_ones_do_not() -> None:
    short = "\n".join(f"# S{number}\n\nTwo words.\n" for number in range(3))
    assert len(cut(markdown(short)).pieces) == 1
    long = "\n".join(f"# S{number}\n\n" + "y " * SECTION_CHARS + "\n" for number in range(3))
    assert [piece.heading for piece in cut(markdown(long)).pieces] == ["S0", "S1", "S2"]


def test_rows_are_not_cut_and_a_later_part_of_a_table_knows_its_header() -> None:
    rows = "\n".join(f"| item {number} | {number} euro |" for number in range(100))
    text = f"| thing | price |\n|---|---|\n{rows}\n"
    pieces = cut(markdown(text)).pieces
    assert len(pieces) > 2
    assert [piece.lead for piece in pieces] == ["", *["thing | price"] * (len(pieces) - 1)]
    for piece in pieces:
        assert all(line.startswith("|") and line.endswith("|") for line in text[piece.start : piece.end].split("\n"))


def test_dense_text_is_halved_at_a_space_until_it_fits() -> None:
    text = "one two three four five six seven eight"
    found = fitting(text, [Span(0, len(text))], max_tokens=[3], count=lambda texts: [len(t.split()) for t in texts])
    assert [(at, span.of(text)) for at, span in found] == [
        (0, "one two three"),
        (0, "four five"),
        (0, "six seven eight"),
    ]


def test_what_a_context_takes_is_not_there_for_the_text() -> None:
    text = " ".join(["word"] * 100)
    extracted = Extracted(text, (Piece(0, len(text), lead="a very long row of columns"),))
    chunker = Chunker(lambda texts: [len(t.split()) for t in texts], 24)
    for found in chunker.cuts(text, extracted.pieces):
        assert len(f"{found.context} {found.span.of(text)}".split()) <= 24


def test_a_run_without_spaces_is_cut_by_length_and_overlaps() -> None:
    text = "x" * 20
    spans = overlapping(text, spans_of([text], text, size=8), 3, anew=[True, False, False])
    assert spans == [Span(0, 8), Span(5, 16), Span(13, 20)]


def test_trimming_nothing_but_space_leaves_nothing() -> None:
    span = trimmed("a   b", Span(1, 4))
    assert span.start == span.end


@pytest.mark.parametrize(
    "repeated",
    ["a\n", "a ", "x", "\n", "# a\n", "\n \t", ". ", "```\n", "|a|\n", "# ", "#" * 7, "a |", "-:|"],
    ids=["lines", "words", "one word", "blank lines", "headings", "mixed blanks", "stops", "fences", "rows",
         "one heading", "hashes", "cells", "rules"],
)  # fmt: skip
def test_a_megabyte_of_anything_is_cut_in_a_second(repeated: str) -> None:
    text = "y" + repeated * (524_288 // len(repeated)) + "y\n" + repeated * (524_288 // len(repeated))
    started = time.process_time()
    with suppress(BodyTooLargeError):  # too many sections is an answer as well, as long as it comes soon
        assert chunked(markdown(text))
    assert time.process_time() - started < 6  # measured: 0.1 to 2
