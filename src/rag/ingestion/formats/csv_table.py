"""`.csv` and `.tsv`: each row is a line that names its columns, so that it is understood wherever it is found."""

from __future__ import annotations

import csv
import io
import itertools

from contracts.errors import InvalidRequestError
from rag.domain.extracted import Block, Kind, Parsed
from rag.ingestion.formats.limits import MAX_COLUMNS, MAX_TEXT_CHARS, check_text
from rag.ingestion.formats.plain import decoded
from rag.ingestion.formats.writing import one_line, row_line

_DELIMITERS = ",;\t|"
_LOOKED_AT = 8_192


def parse(content: bytes) -> Parsed:
    """Raises InvalidRequestError, BodyTooLargeError."""
    csv.field_size_limit(MAX_TEXT_CHARS)
    text = decoded(content)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=False)
    lines: list[str] = []
    chars = 0
    try:
        header = [one_line(name) for name in next(rows, [])]
        first = next(rows, None)
        if first is None:
            lines.append(" | ".join(name for name in header if name))
            return _table(lines, header)
        for row in itertools.chain([first], rows):
            if max(len(row), len(header)) > MAX_COLUMNS:
                raise InvalidRequestError(f"the table has more than {MAX_COLUMNS} columns")
            line = row_line(header, row)
            if line:
                lines.append(line)
                chars += len(line) + 1
                check_text(chars)
    except csv.Error as error:
        raise InvalidRequestError(f"the table cannot be read: {error}") from error
    return _table(lines, header)


def _table(lines: list[str], header: list[str]) -> Parsed:
    if len(header) > MAX_COLUMNS:
        raise InvalidRequestError(f"the table has more than {MAX_COLUMNS} columns")
    text = "\n".join(lines)
    return Parsed(text, (Block(0, len(text), Kind.TABLE),) if text else ())


def _delimiter(text: str) -> str:
    """The mark that is in the first line most often; the comma where none is."""
    first = text[:_LOOKED_AT].partition("\n")[0]
    return max(_DELIMITERS, key=first.count)
