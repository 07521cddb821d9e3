"""`.docx`: headings by their style, paragraphs and tables, in the order of the document."""

from __future__ import annotations

import io
import re
from typing import Any

from docx import Document
from docx.table import Table
from docx.text.paragraph import Paragraph
from lxml.etree import XMLSyntaxError

from contracts.errors import InvalidRequestError
from rag.domain.extracted import Parsed
from rag.ingestion.formats.archives import check_no_doctype, open_archive
from rag.ingestion.formats.limits import MAX_COLUMNS
from rag.ingestion.formats.writing import Writer

_HEADING_STYLE = re.compile(r"(?:heading|überschrift|titre|título|titolo)\s*(\d)", re.IGNORECASE)


def parse(content: bytes) -> Parsed:
    """Raises InvalidRequestError, BodyTooLargeError."""
    with open_archive(content) as archive:
        if "word/document.xml" not in archive.namelist():
            raise InvalidRequestError("the file is called .docx and is another archive by its content")
        check_no_doctype(archive)
    try:
        document = Document(io.BytesIO(content))
        writer = Writer()
        for item in document.iter_inner_content():
            if isinstance(item, Table):
                _read_table(writer, item)
            else:
                _read_paragraph(writer, item)
    except (XMLSyntaxError, KeyError, ValueError, AttributeError) as error:
        raise InvalidRequestError(f"the .docx cannot be read: {type(error).__name__}") from error
    parsed = writer.parsed()
    if not parsed.blocks:
        raise InvalidRequestError("the file has no text")
    return parsed


def _read_paragraph(writer: Writer, paragraph: Paragraph) -> None:
    style = (paragraph.style.name or "") if paragraph.style is not None else ""
    heading = _HEADING_STYLE.match(style)
    if heading is not None:
        writer.heading(int(heading[1]), paragraph.text)
    elif style == "Title":
        writer.heading(1, paragraph.text)
    else:
        writer.text(f"- {paragraph.text}" if style.startswith("List") else paragraph.text)


def _read_table(writer: Writer, table: Table) -> None:
    rows = [_cells(row) for row in table._tbl.tr_lst]  # `rows` with their `cells` are quadratic
    if any(len(row) > MAX_COLUMNS for row in rows):
        raise InvalidRequestError(f"a table has more than {MAX_COLUMNS} columns")
    writer.table(rows[0] if len(rows) > 1 else [], rows[1:] if len(rows) > 1 else rows)


def _cells(row: Any) -> list[str]:
    return ["".join(text.text or "" for text in cell.iter("{*}t")) for cell in row.tc_lst]
