"""`.txt`: the text is the file, without a byte order mark."""

from __future__ import annotations

import codecs

from contracts.errors import InvalidRequestError
from rag.domain.extracted import Block, Kind, Parsed
from rag.ingestion.formats.limits import check_text

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 that says so by its mark. Raises InvalidRequestError, BodyTooLargeError."""
    utf_16 = content.startswith(_UTF_16)
    try:
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        said = "UTF-16" if utf_16 else "UTF-8"
        raise InvalidRequestError(f"the file is not {said} text: byte {error.start} does not decode") from error
    if "\x00" in text:
        raise InvalidRequestError(f"the file is not text: NUL at character {text.index(chr(0))}")
    if not text.strip():
        raise InvalidRequestError("the file is empty, or nothing but white space")
    check_text(len(text))
    return text


def parse(content: bytes) -> Parsed:
    text = decoded(content)
    return Parsed(text, (Block(0, len(text), Kind.TEXT),))
