"""A file's bytes become text in blocks, or the reason why not. To be called in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from contracts.errors import BodyTooLargeError, InvalidRequestError
from contracts.retrieval import MAX_DOCUMENT_BYTES
from rag.domain.extracted import Parsed
from rag.ingestion.formats.kinds import Format, check_content, format_of

_MODULES: Mapping[Format, str] = {
    Format.PLAIN: "plain",
    Format.MARKDOWN: "markdown",
    Format.HTML: "html",
    Format.PDF: "pdf",
    Format.DOCX: "docx",
    Format.CSV: "csv_table",
    Format.JSON: "json_tree",
    Format.SUBTITLES: "subtitles",
    Format.MAIL: "mail",
}


def parse(filename: str, content: bytes, folder: Path) -> Parsed:
    """Raises InvalidRequestError with the reason for a file that is not of the format that its name says, or holds
    nothing to read, and BodyTooLargeError for one that holds too much."""
    check_size(content)
    kind = format_of(filename)
    check_content(filename, kind, content)
    parsed = _reader(kind)(content) if kind in _MODULES else _from_loader(kind, content, folder)
    if not parsed.blocks:
        raise InvalidRequestError("the file has no text")
    return parsed


def check_size(content: bytes) -> None:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise BodyTooLargeError(f"a document is at most {MAX_DOCUMENT_BYTES} bytes")


def _reader(kind: Format) -> Callable[[bytes], Parsed]:
    """Imported when first asked for: the service itself never loads a parser."""
    module = import_module(f"rag.ingestion.formats.{_MODULES[kind]}")
    return cast("Callable[[bytes], Parsed]", module.parse)


def _from_loader(kind: Format, content: bytes, folder: Path) -> Parsed:
    from rag.ingestion.formats import loaders  # noqa: PLC0415  as above

    return loaders.parse(kind, content, folder)
