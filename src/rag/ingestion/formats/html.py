"""`.html`: what a reader would see, with headings, lists, code and tables. Nothing is fetched, no entity is looked up.

The tree is walked without recursion. lxml's own guards stay on: it stops where elements lie too deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from contracts.errors import InvalidRequestError
from rag.domain.extracted import Parsed
from rag.ingestion.formats.limits import MAX_COLUMNS, MAX_DEPTH
from rag.ingestion.formats.writing import Writer, one_line

_TAG = re.compile(rb"<[A-Za-z!/?]")
_UNSEEN = frozenset({"script", "style", "noscript", "template", "head", "svg", "math", "iframe", "object"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl"),
        *("dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend"),
        *("li", "main", "nav", "ol", "option", "p", "section", "summary", "title", "ul", "caption"),
    }
)
_CELLS = frozenset({"td", "th"})


def parse(content: bytes) -> Parsed:
    """Raises InvalidRequestError, BodyTooLargeError."""
    if not _TAG.search(content):
        raise InvalidRequestError("the file is called .html and has no markup: name it .txt")
    return read_html(content)


def read_html(content: bytes) -> Parsed:
    parser = etree.HTMLParser(
        encoding=_encoding(content), no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    root = etree.fromstring(content, parser)
    if root is None:
        raise InvalidRequestError("the file has no text")
    _check_depth(root)
    reader = _Reader()
    reader.read(root)
    return reader.parsed()


def _encoding(content: bytes) -> str | None:
    """UTF-8 if it is; else what the file says of itself."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _check_depth(root: Any) -> None:
    """Deeper than this, libxml2 gives up in the middle and says nothing of the rest."""
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > MAX_DEPTH:
            raise InvalidRequestError(f"the file has elements nested deeper than {MAX_DEPTH}")


class _Reader:
    """Gathers the text of a block until the next one begins."""

    def __init__(self) -> None:
        self._writer = Writer()
        self._line: list[str] = []
        self._level = 0

    def parsed(self) -> Parsed:
        self._flush()
        return self._writer.parsed()

    def read(self, root: Any) -> None:
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                if self._taken_whole(tag, element):
                    walk.skip_subtree()
                else:
                    self._begin(tag, element)
            else:
                self._end(tag)
                self._line.append(_collapsed(element.tail or ""))

    def _taken_whole(self, tag: str, element: Any) -> bool:
        if tag in _UNSEEN:
            return True
        if tag in {"pre", "textarea"}:
            self._flush()
            self._writer.code("".join(element.itertext()))
            return True
        if tag == "table" and element.find(".//table") is None:
            self._flush()
            header, rows = _table(element)
            self._writer.table(header, rows)
            return True
        return False

    def _begin(self, tag: str, element: Any) -> None:
        if tag in _BLOCKS or tag in _HEADINGS or tag in {"table", "tr", *_CELLS}:
            self._flush()
        if tag == "li":
            self._line.append("- ")
        if tag == "br":
            self._line.append("\n")
        if tag not in {*_UNSEEN, "pre", "textarea"}:
            self._line.append(_collapsed(element.text or ""))

    def _end(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._level = _HEADINGS[tag]
            self._writer.heading(self._level, "".join(self._line))
            self._line.clear()
        elif tag in _BLOCKS or tag in {"tr", *_CELLS}:
            self._flush()

    def _flush(self) -> None:
        lines = [one_line(line) for line in "".join(self._line).split("\n")]
        self._line.clear()
        text = "\n".join(line for line in lines if line)
        if text not in {"", "-"}:
            self._writer.text(text)


def _collapsed(text: str) -> str:
    return text.replace("\n", " ")


def _table(table: Any) -> tuple[list[str], list[list[str]]]:
    rows = [row for row in _rows(table) if any(row)]
    if not rows:
        return [], []
    first = table.find(".//tr")
    has_header = first is not None and first.find("th") is not None
    if len(rows) == 1 or not has_header:
        return [], rows
    return rows[0], rows[1:]


def _rows(table: Any) -> Iterator[list[str]]:
    for row in table.iter("tr"):
        cells = [one_line(" ".join(cell.itertext())) for cell in row if cell.tag in _CELLS]
        if len(cells) > MAX_COLUMNS:
            raise InvalidRequestError(f"a table has more than {MAX_COLUMNS} columns")
        yield cells
