"""A parsed document is cut into pieces at its own seams: sections, paragraphs, rows, code.

Linear in the text. It runs in the worker process, as parsing does: a large document would hold up the service's loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from contracts.errors import BodyTooLargeError
from rag.domain.extracted import Extracted, Kind, Parsed, Piece
from rag.domain.spans import Span, overlapping, spans_of
from rag.ingestion.formats.limits import MAX_HEADING_CHARS, MAX_PIECES
from rag.ingestion.splitting import split

PIECE_CHARS = 700
"""About 160 tokens of English: with the overlap well inside a window of 256."""

OVERLAP_CHARS = 100

SECTION_CHARS = 200
"""A section shorter than this shares its chunk with the next: alone it would say too little."""

LONGEST_PIECE_CHARS = PIECE_CHARS + MAX_HEADING_CHARS
"""Before the overlap: a heading goes with what it stands above."""


@dataclass(frozen=True, slots=True)
class _Atom:
    """What is not cut further: a short block, or a part of a long one."""

    start: int
    end: int
    kind: Kind
    heading: str
    lead: str


def cut(parsed: Parsed) -> Extracted:
    """Raises BodyTooLargeError for a document of too many pieces."""
    packed = list(_packed(_atoms(parsed)))
    if len(packed) > MAX_PIECES:
        raise BodyTooLargeError(f"the file has more than {MAX_PIECES} sections: split it")
    spans = [Span(atom.start, atom.end) for atom in packed]
    wide = overlapping(parsed.text, spans, OVERLAP_CHARS, anew=_begins_anew(packed))
    pieces = [Piece(span.start, span.end, atom.heading, atom.lead) for span, atom in zip(wide, packed, strict=True)]
    return Extracted(parsed.text, tuple(pieces))


def _atoms(parsed: Parsed) -> Iterator[_Atom]:
    for block in parsed.blocks:
        body = parsed.text[block.start : block.end]
        parts = [body] if len(body) <= PIECE_CHARS else split(body, block.kind, size=PIECE_CHARS)
        for at, span in enumerate(spans_of(parts, parsed.text, size=PIECE_CHARS, start=block.start)):
            yield _Atom(span.start, span.end, block.kind, block.heading, block.lead if at else "")


def _packed(atoms: Iterable[_Atom]) -> Iterator[_Atom]:
    """Atoms put together while they belong together and fit. The kind is that of the first."""
    held: _Atom | None = None
    for atom in atoms:
        if held is None:
            held = atom
        elif _goes_with(held, atom):
            deeper = atom.heading if held.kind is Kind.HEADING else held.heading
            kind = atom.kind if held.kind is Kind.HEADING else held.kind
            held = replace(held, end=atom.end, kind=kind, heading=deeper)
        else:
            yield held
            held = atom
    if held is not None:
        yield held


def _goes_with(held: _Atom, atom: _Atom) -> bool:
    length = atom.end - held.start
    if held.kind is Kind.HEADING:  # nothing but headings so far
        return held.end - held.start <= MAX_HEADING_CHARS and length <= LONGEST_PIECE_CHARS
    if length > PIECE_CHARS:
        return False
    new_section = atom.kind is Kind.HEADING or atom.heading != held.heading
    return not new_section or held.end - held.start < SECTION_CHARS


def _begins_anew(packed: Sequence[_Atom]) -> list[bool]:
    """Where a piece takes nothing over from the one before it: another section, a row, a line of code."""
    before = [None, *packed][: len(packed)]
    return [
        held is None or held.heading != atom.heading or atom.kind is not Kind.TEXT or held.kind is not Kind.TEXT
        for held, atom in zip(before, packed, strict=True)
    ]
