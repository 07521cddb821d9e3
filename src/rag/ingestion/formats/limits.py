"""What a file may hold. Each bound is far above what people write and far below what hurts."""

from __future__ import annotations

from contracts.errors import BodyTooLargeError

MAX_TEXT_CHARS = 10_000_000
"""Twenty thick novels: some 15,000 chunks, embedded in four to ten minutes."""
MAX_PIECES = 40_000
"""Of very short sections; their vectors take 60 MB while they are gathered."""
MAX_PAGES = 5_000
MAX_COLUMNS = 1_000
MAX_ARCHIVE_BYTES = 200 * 1024 * 1024
"""Of an archive, unpacked. A book of ten million characters as Word's XML has a tenth."""
MAX_ARCHIVE_RATIO = 200
"""Unpacked to packed, beyond a megabyte: XML shrinks to a twentieth, a bomb to a thousandth."""
MAX_ARCHIVE_FILES = 10_000
MAX_DEPTH = 200
"""Elements or values within each other."""
MAX_HEADING_CHARS = 200


def check_text(chars: int) -> None:
    """Raises BodyTooLargeError."""
    if chars > MAX_TEXT_CHARS:
        raise BodyTooLargeError(f"the file has more than {MAX_TEXT_CHARS} characters of text: split it")
