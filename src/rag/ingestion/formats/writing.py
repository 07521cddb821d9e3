"""Text put together block by block, with the path of headings kept and every offset true."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.domain.extracted import PATH_MARK, Block, Kind, Parsed
from rag.ingestion.formats.limits import MAX_HEADING_CHARS, check_text

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SPACES = re.compile(r"\s+")


class HeadingPath:
    """The headings that stand above a place, by level (1 is the highest)."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> str:
        """Ends what is on this level or below; the path with `title` at its end."""
        self._open = [(above, name) for above, name in self._open if above < level]
        self._open.append((level, one_line(title)))
        return str(self)

    def __str__(self) -> str:
        return PATH_MARK.join(name for _, name in self._open if name)[-MAX_HEADING_CHARS:]


class Writer:
    """For formats whose text is not the file itself. Raises BodyTooLargeError as soon as there is too much."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0
        self.path = HeadingPath()

    def heading(self, level: int, title: str) -> None:
        title = one_line(title)
        if title:
            self.path.enter(level, title)
            self._add(title, Kind.HEADING, "")

    def text(self, text: str) -> None:
        self._add(text, Kind.TEXT, "")

    def code(self, text: str) -> None:
        self._add(text, Kind.CODE, "")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Each row is a line that names its columns, so that it is understood wherever it is found."""
        names = [one_line(name) for name in header]
        lines = [row_line(names, row) for row in rows]
        if not rows and any(names):
            lines = [" | ".join(names)]
        self._add("\n".join(line for line in lines if line), Kind.TABLE, "")

    def parsed(self) -> Parsed:
        return Parsed("".join(self._parts), tuple(self._blocks))

    def _add(self, text: str, kind: Kind, lead: str) -> None:
        text = _UNSTORABLE.sub("", text).strip("\n")
        if not text.strip():
            return
        if self._parts:
            self._parts.append("\n\n")
            self._length += 2
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        check_text(self._length)
        self._blocks.append(Block(start, self._length, kind, str(self.path), lead))


def row_line(names: Sequence[str], cells: Sequence[str]) -> str:
    """`name: cell | name: cell`; a cell without a name stands alone, an empty one is left out."""
    parts = []
    for at, cell in enumerate(cells):
        value = one_line(cell)
        name = names[at] if at < len(names) else ""
        if value:
            parts.append(f"{name}: {value}" if name and name != value else value)
    return " | ".join(parts)


def one_line(text: str) -> str:
    return _SPACES.sub(" ", text).strip()
