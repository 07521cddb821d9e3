"""A file's bytes become text, or the reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from contracts.errors import BodyTooLargeError, InvalidRequestError
from contracts.retrieval import MAX_DOCUMENT_BYTES


class Format(StrEnum):
    PLAIN = ".txt"
    MARKDOWN = ".md"


@dataclass(frozen=True, slots=True)
class Parsed:
    """`text` is the whole decoded file, without a byte order mark: chunk offsets count in it."""

    text: str
    format: Format


def parse(filename: str, content: bytes) -> Parsed:
    """Raises InvalidRequestError with the reason for a file that is not UTF-8 text in a known format,
    and BodyTooLargeError for one beyond MAX_DOCUMENT_BYTES."""
    if len(content) > MAX_DOCUMENT_BYTES:
        raise BodyTooLargeError(f"a document is at most {MAX_DOCUMENT_BYTES} bytes")
    kind = format_of(filename)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the file is not UTF-8 text: byte {error.start} does not decode") from error
    if "\x00" in text:
        raise InvalidRequestError(f"the file is not text: NUL at character {text.index(chr(0))}")
    if not text.strip():
        raise InvalidRequestError("the file is empty, or nothing but white space")
    return Parsed(text, kind)


def format_of(filename: str) -> Format:
    """By the name's ending, in any case. Raises InvalidRequestError."""
    ending = PurePosixPath(filename).suffix.lower()
    try:
        return Format(ending)
    except ValueError:
        known = ", ".join(Format)
        raise InvalidRequestError(f"the file type {ending or '(none)'!r} is not supported: {known}") from None
