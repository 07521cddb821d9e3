"""`.pdf`: the text of its pages, under the headings of its outline where it has one. Images are not read."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from contracts.errors import InvalidRequestError
from rag.domain.extracted import Parsed
from rag.ingestion.formats.limits import MAX_PAGES
from rag.ingestion.formats.writing import Writer

_HYPHENATED = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
MAX_OUTLINE = 5_000


def parse(content: bytes) -> Parsed:
    """Raises InvalidRequestError, BodyTooLargeError."""
    try:
        reader = PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise InvalidRequestError("the PDF is protected by a password")
        _check_pages(reader)
        headings = dict(_headings(reader))
        writer = Writer()
        for number, page in enumerate(reader.pages):
            _read_page(writer, page.extract_text(), headings, number)
    except PyPdfError as error:
        raise InvalidRequestError(f"the PDF cannot be read: {type(error).__name__}") from error
    parsed = writer.parsed()
    if not parsed.blocks:
        raise InvalidRequestError("the PDF has no text: pages that are images are not read")
    return parsed


def _check_pages(reader: PdfReader) -> None:
    """By what the file says of itself first: to count them costs time and memory for each."""
    said: Any = reader.root_object.get("/Pages", {})
    said = said.get_object() if hasattr(said, "get_object") else said
    count = said.get("/Count", 0) if isinstance(said, Mapping) else 0
    if not isinstance(count, int) or count > MAX_PAGES or len(reader.pages) > MAX_PAGES:
        raise InvalidRequestError(f"the PDF has more than {MAX_PAGES} pages: split it")


def _read_page(writer: Writer, text: str, headings: Mapping[int, list[tuple[int, str]]], number: int) -> None:
    for level, title in headings.get(number, ()):
        writer.path.enter(level, title)
    writer.text(_HYPHENATED.sub("", text))


def _headings(reader: PdfReader) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """The outline's titles by the page on which they begin. A broken outline is no reason to refuse the text."""
    by_page: dict[int, list[tuple[int, str]]] = {}
    try:
        waiting: list[tuple[int, Any]] = [(1, item) for item in reversed(reader.outline)]
        seen = 0
        while waiting and seen < MAX_OUTLINE:
            level, item = waiting.pop()
            seen += 1
            if isinstance(item, list):
                waiting.extend((level + 1, inner) for inner in reversed(item))
                continue
            page = reader.get_destination_page_number(item)
            if page is not None and item.title:
                by_page.setdefault(page, []).append((level, str(item.title)))
    except Exception:  # noqa: BLE001  whatever is wrong with it, the pages may still be read
        by_page.clear()
    yield from by_page.items()
