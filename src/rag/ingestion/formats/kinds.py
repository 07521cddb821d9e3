"""Which format a file has: its name's ending says it, and its first bytes must not say otherwise."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath

from contracts.errors import InvalidRequestError

HEAD_BYTES = 1_024


class Format(StrEnum):
    PLAIN = ".txt"
    MARKDOWN = ".md"
    HTML = ".html"
    PDF = ".pdf"
    DOCX = ".docx"
    CSV = ".csv"
    JSON = ".json"
    SUBTITLES = ".srt"
    MAIL = ".eml"
    NOTEBOOK = ".ipynb"
    WEB_ARCHIVE = ".mhtml"
    TREEBANK = ".conllu"


_ALSO = {
    ".text": Format.PLAIN,
    ".markdown": Format.MARKDOWN,
    ".htm": Format.HTML,
    ".tsv": Format.CSV,
    ".mht": Format.WEB_ARCHIVE,
}
ENDINGS = (*Format, *_ALSO)

_BINARY = {
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\xd0\xcf\x11\xe0": "an old Office file, or an encrypted one",
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"{\\rtf": "an RTF file",
}


def format_of(filename: str) -> Format:
    """By the name's ending, in any case. Raises InvalidRequestError."""
    ending = PurePosixPath(filename).suffix.lower()
    if ending in _ALSO:
        return _ALSO[ending]
    try:
        return Format(ending)
    except ValueError:
        known = ", ".join(ENDINGS)
        raise InvalidRequestError(f"the file type {ending or '(none)'!r} is not supported: {known}") from None


def check_content(filename: str, kind: Format, content: bytes) -> None:
    """Raises InvalidRequestError for a file whose content is of another format than its name."""
    if not content.strip(b" \t\r\n\x00\xef\xbb\xbf"):
        raise InvalidRequestError("the file is empty, or nothing but white space")
    said = _what(content[:HEAD_BYTES])
    expected = {Format.PDF: "a PDF", Format.DOCX: "a ZIP archive"}.get(kind)
    if said == expected:
        return
    ending = PurePosixPath(filename).suffix.lower()
    if said is None:
        raise InvalidRequestError(f"the file is called {ending} and is not {expected} by its content")
    hint = ": name it .pdf" if said == "a PDF" else ""
    raise InvalidRequestError(f"the file is called {ending} and is {said} by its content{hint}")


def _what(head: bytes) -> str | None:
    """What the first bytes say, where they say anything."""
    if head.startswith(b"%PDF-"):
        return "a PDF"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "a ZIP archive"
    return next((what for mark, what in _BINARY.items() if head.startswith(mark)), None)
