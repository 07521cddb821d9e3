"""What is read out of a file: its text, the blocks that structure it, and the pieces it is cut into."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PATH_MARK = " > "
"""Between the headings of a path: `Prices > Milk`."""


class Kind(StrEnum):
    HEADING = "heading"
    TEXT = "text"
    CODE = "code"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Block:
    """`text[start:end]` of one kind. `heading` is the path of headings above it, its own included; `lead` what its
    lines are to be read with: the header row of a table."""

    start: int
    end: int
    kind: Kind
    heading: str = ""
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Offsets count characters of `text`. The blocks run in order, and whatever is not white space lies in one."""

    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """`text[start:end]`, about as long as a chunk is to be; it may overlap with the one before it."""

    start: int
    end: int
    heading: str = ""
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document ready to be measured in tokens, embedded and kept."""

    text: str
    pieces: tuple[Piece, ...]
