"""`.md`: the text is the file; headings, fenced code and tables are blocks of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.domain.extracted import Block, Kind, Parsed
from rag.ingestion.formats.plain import decoded
from rag.ingestion.formats.writing import HeadingPath, one_line

_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TABLE_ROW = re.compile(r" {0,3}\|")
_TABLE_RULE = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
MAX_LINE_READ = 2_000
"""A longer line is text, whatever it begins with: its end is not looked for."""


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str


def parse(content: bytes) -> Parsed:
    text = decoded(content)
    return Parsed(text, tuple(blocks_of(text)))


def blocks_of(text: str) -> Iterator[Block]:
    """One pass over the lines: each goes on with the block before it, or begins another."""
    path = HeadingPath()
    start, kind, lead, fence, heading = 0, Kind.TEXT, "", "", ""
    for line in _lines(text):
        found, title = _kind_of(line.text, fence)
        fence = _fence_after(line.text, fence)
        if found is not kind or found is Kind.HEADING:
            if line.start > start:
                yield Block(start, line.start, kind, heading, lead)
            start, kind = line.start, found
            lead = one_line(line.text).strip("| ") if found is Kind.TABLE else ""
        if title is not None:
            heading = path.enter(*title)
        if found is Kind.CODE and not fence:  # the fence's last line ends the block
            yield Block(start, line.end, kind, heading)
            start, kind = line.end, Kind.TEXT
    if len(text) > start:
        yield Block(start, len(text), kind, heading, lead)


def _kind_of(line: str, fence: str) -> tuple[Kind, tuple[int, str] | None]:
    if fence or _FENCE.match(line):
        return Kind.CODE, None
    heading = _HEADING.match(line)
    if heading is not None:
        return Kind.HEADING, (len(heading[1]), line[heading.end() :].strip().rstrip("#"))
    if _TABLE_ROW.match(line) or ("|" in line and _TABLE_RULE.match(line)):
        return Kind.TABLE, None
    return Kind.TEXT, None


def _fence_after(line: str, fence: str) -> str:
    """The mark that ends the fence we are in after this line; nothing outside of one."""
    mark = _FENCE.match(line)
    if mark is None:
        return fence
    if not fence:
        return mark[1]
    ends = mark[1].startswith(fence) and not line[mark.end() :].strip("`~ \t\r\n")
    return "" if ends else fence


def _lines(text: str) -> Iterator[_Line]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end + 1
        yield _Line(start, end, text[start : min(end, start + MAX_LINE_READ)].rstrip("\r\n"))
        start = end
