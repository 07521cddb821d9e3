"""A file is text in a known format, or is refused with the reason."""

from __future__ import annotations

import pytest

from contracts.errors import BodyTooLargeError, InvalidRequestError
from contracts.retrieval import MAX_DOCUMENT_BYTES
from rag.ingestion.parsing import Format, Parsed, parse


@pytest.mark.parametrize(
    ("filename", "kind"), [("a.txt", Format.PLAIN), ("A.TXT", Format.PLAIN), ("x.y.md", Format.MARKDOWN)]
)
def test_the_ending_decides_the_format(filename: str, kind: Format) -> None:
    assert parse(filename, b"hello") == Parsed("hello", kind)


def test_a_byte_order_mark_is_not_part_of_the_text() -> None:
    assert parse("a.txt", b"\xef\xbb\xbfpr\xc3\xa9cis").text == "pr\u00e9cis"


@pytest.mark.parametrize(
    ("filename", "content", "reason"),
    [
        ("a.pdf", b"%PDF-1.7", "'.pdf' is not supported"),
        ("README", b"text", r"'\(none\)' is not supported"),
        (".md", b"text", "not supported"),
        ("a.txt", b"caf\xe9", "not UTF-8 text: byte 3"),
        ("a.txt", "text".encode("utf-16"), "not UTF-8 text"),
        ("a.txt", b"one\x00two", "NUL at character 3"),
        ("a.txt", b"", "empty"),
        ("a.txt", b" \n\t \xc2\xa0 ", "empty"),
        ("a.txt", b"\xef\xbb\xbf", "empty"),
        ("a.md", b"\xed\xa0\x80", "not UTF-8 text: byte 0"),
    ],
)
def test_anything_else_is_refused_with_its_reason(filename: str, content: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        parse(filename, content)


def test_a_file_beyond_the_limit_is_too_large() -> None:
    assert parse("a.txt", b"x" * MAX_DOCUMENT_BYTES)
    with pytest.raises(BodyTooLargeError):
        parse("a.txt", b"x" * (MAX_DOCUMENT_BYTES + 1))
