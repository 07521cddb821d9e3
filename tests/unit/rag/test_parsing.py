"""A file is text in blocks, or is refused with the reason."""

from __future__ import annotations

import io
import json
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest
from docx import Document
from reportlab.pdfgen.canvas import Canvas

from contracts.errors import BodyTooLargeError, InvalidRequestError
from contracts.retrieval import MAX_DOCUMENT_BYTES
from rag.domain.extracted import Kind, Parsed
from rag.ingestion import parsing
from rag.ingestion.formats.kinds import ENDINGS, Format, format_of
from rag.ingestion.formats.limits import MAX_COLUMNS, MAX_TEXT_CHARS


@pytest.fixture
def parse(tmp_path: Path):
    return lambda filename, content: parsing.parse(filename, content, tmp_path)


def outline(parsed: Parsed) -> list[tuple[str, str, str]]:
    return [(str(block.kind), block.heading, parsed.text[block.start : block.end].strip()) for block in parsed.blocks]


def pdf(*pages: str, title: str | None = None) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for number, text in enumerate(pages):
        if title and number == 1:
            canvas.bookmarkPage("here")
            canvas.addOutlineEntry(title, "here", 0)
        canvas.drawString(72, 720, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def word() -> bytes:
    document = Document()
    document.add_heading("Prices", 1)
    document.add_paragraph("What things cost.")
    document.add_heading("Milk", 2)
    table = document.add_table(2, 2)
    for at, text in enumerate(["kind", "euro", "oat", "2"]):
        table.cell(at // 2, at % 2).text = text
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("filename", "kind"),
    [("a.txt", Format.PLAIN), ("A.TXT", Format.PLAIN), ("x.y.md", Format.MARKDOWN), ("a.htm", Format.HTML)],
)
def test_the_ending_decides_the_format(filename: str, kind: Format) -> None:
    assert format_of(filename) is kind


def test_a_byte_order_mark_is_not_part_of_the_text_whatever_its_kind(parse) -> None:
    assert parse("a.txt", b"\xef\xbb\xbfpr\xc3\xa9cis").text == "pr\u00e9cis"
    assert parse("a.txt", "pr\u00e9cis".encode("utf-16")).text == "pr\u00e9cis"


@pytest.mark.parametrize(
    ("filename", "content", "reason"),
    [
        ("a.pdf", b"hello", "is not a PDF by its content"),
        ("a.pdf", b"%PDF-1.7", "cannot be read"),
        ("a.txt", b"%PDF-1.7 more", "is a PDF by its content: name it .pdf"),
        ("a.md", b"PK\x03\x04....", "is a ZIP archive by its content"),
        ("a.docx", b"PK\x03\x04....", "damaged"),
        ("a.docx", b"\xd0\xcf\x11\xe0....", "is an old Office file"),
        ("a.csv", b"\x89PNG....", "is a PNG image"),
        ("a.html", b"no markup here", "has no markup"),
        ("a.html", b"<html><script>x</script></html>", "no text"),
        ("a.json", b"{'a': 1}", "not JSON: line 1, column 2"),
        ("README", b"text", r"'\(none\)' is not supported"),
        (".md", b"text", "not supported"),
        ("a.txt", b"caf\xe9", "not UTF-8 text: byte 3"),
        ("a.txt", b"one\x00two", "NUL at character 3"),
        ("a.txt", b"", "empty"),
        ("a.txt", b" \n\t \xc2\xa0 ", "empty"),
        ("a.txt", b"\xef\xbb\xbf", "empty"),
        ("a.md", b"\xed\xa0\x80", "not UTF-8 text: byte 0"),
        ("a.ipynb", b'{"a": 1}', "has no cells"),
        ("a.srt", b"Just some text.", "has no times of subtitles"),
        ("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\n\n", "no text"),
        ("a.eml", b"Just some text.", "no header of a mail"),
        ("a.eml", b"%PDF-1.7", "is a PDF by its content"),
        ("a.csv", b",".join([b"c"] * (MAX_COLUMNS + 1)), f"more than {MAX_COLUMNS} columns"),
        ("a.json", b"[" * 100_000, "nested deeper"),
        ("a.html", b"<div>" * 5_000 + b"x", "nested deeper"),
    ],
)
def test_anything_else_is_refused_with_its_reason(parse, filename: str, content: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        parse(filename, content)


def test_a_file_beyond_a_limit_is_too_large(parse) -> None:
    for content in (b"x" * (MAX_DOCUMENT_BYTES + 1), b"x" * (MAX_TEXT_CHARS + 1)):
        with pytest.raises(BodyTooLargeError):
            parse("a.txt", content)


def test_the_list_of_endings_is_what_a_refusal_names(parse) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse("a.exe", b"x")
    assert all(ending in refused.value.message for ending in ENDINGS)


def test_markdown_has_headings_code_and_tables_and_a_fence_hides_what_is_in_it(parse) -> None:
    text = "# A\none\n## B ##\n```sh\n# no heading\n```\n| n | p |\n|---|---|\n| x | 1 |\n\nend"
    parsed = parse("a.md", text.encode())
    assert parsed.text == text
    assert outline(parsed) == [
        ("heading", "A", "# A"),
        ("text", "A", "one"),
        ("heading", "A > B", "## B ##"),
        ("code", "A > B", "```sh\n# no heading\n```"),
        ("table", "A > B", "| n | p |\n|---|---|\n| x | 1 |"),
        ("text", "A > B", "end"),
    ]
    assert [block.lead for block in parsed.blocks if block.kind is Kind.TABLE] == ["n | p"]


def test_html_is_what_a_reader_sees(parse) -> None:
    page = """<html><head><title>no</title><style>p{}</style></head><body><h1>Top</h1><p>Hello <b>bold</b>,
      tail<br>next<script>no</script></p><ul><li>one<li>two</ul><pre>x\n  y</pre>
      <table><tr><th>n</th><th>p</th></tr><tr><td>milk</td><td>1</td></tr></table>&amp; end</body></html>"""
    parsed = parse("a.html", page.encode())
    assert [text for _, _, text in outline(parsed)] == [
        *("Top", "Hello bold, tail\nnext", "- one", "- two", "x\n  y", "n: milk | p: 1", "& end")
    ]
    assert {heading for _, heading, _ in outline(parsed)} == {"Top"}


def test_a_pdf_gives_its_pages_under_its_outline(parse) -> None:
    parsed = parse("a.pdf", pdf("First page", "Second page", title="Chapter two"))
    assert outline(parsed) == [("text", "", "First page"), ("text", "Chapter two", "Second page")]


def test_a_word_file_gives_headings_paragraphs_and_rows_that_name_their_columns(parse) -> None:
    assert outline(parse("a.docx", word())) == [
        ("heading", "Prices", "Prices"),
        ("text", "Prices", "What things cost."),
        ("heading", "Prices > Milk", "Milk"),
        ("table", "Prices > Milk", "kind: oat | euro: 2"),
    ]


@pytest.mark.parametrize(
    "content", [b"name;price\nmilk;1\n", b"name\tprice\nmilk\t1\n", b'"name","price"\r\nmilk,1\r\n']
)
def test_a_csv_row_names_its_columns_whatever_parts_them(parse, content: bytes) -> None:
    assert parse("a.csv", content).text == "name: milk | price: 1"


def test_json_keeps_paths_and_writes_numbers_as_they_were(parse) -> None:
    content = b'{"n": 123456789012345678901234567890.10, "a": {"b": [1, {"c": "x"}], "d": true}, "e": []}'
    assert outline(parse("a.json", content)) == [
        ("text", "", "n: 123456789012345678901234567890.10\ne:"),
        ("text", "a", "d: true"),
        ("text", "a > b", "1"),
        ("text", "a > b > 2", "c: x"),
    ]


def test_subtitles_are_what_is_spoken_and_a_silence_ends_a_paragraph(parse) -> None:
    content = (
        b"\xef\xbb\xbf1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Where is</i>\r\nthe milk?\r\n\r\n"
        b"2\n00:00:03,000 --> 00:00:04,000 X1:40\n{\\an8}42\n\n"
        b"3\n00:01:00,000 --> 00:01:02,000\nIn the shop.\n"
    )
    assert outline(parse("a.srt", content)) == [
        ("text", "", "Where is\nthe milk?\n42"),
        ("text", "", "In the shop."),
    ]


def test_a_mail_is_its_subject_who_and_when_its_text_and_the_names_of_attachments(parse) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Prices = \u20ac", "Ann <ann@example.org>", "bob@example.org"
    mail["Date"] = "Mon, 02 Jan 2006 15:04:05 +0000"
    mail.set_content("Milk is dear.\n\nBread is not.")
    mail.add_alternative("<p>never shown</p>", subtype="html")
    mail.add_attachment(b"MZ secret bytes", maintype="application", subtype="octet-stream", filename="list.exe")
    assert [text for _, _, text in outline(parse("a.eml", mail.as_bytes()))] == [
        "Prices = \u20ac",
        "From: Ann <ann@example.org>\nTo: bob@example.org\nDate: Mon, 02 Jan 2006 15:04:05 +0000",
        "Milk is dear.",
        "Bread is not.",
        "Attachments: list.exe",
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"Subject: s\nContent-Type: text/html; charset=utf-8\n\n<p>caf\xc3\xa9<script>x</script>", "caf\u00e9"),
        (b"Subject: s\nContent-Type: text/plain; charset=klingon\n\ncaf\xe9", "caf\u00e9"),
        (b"Subject: s\nContent-Type: text/plain; charset=iso-8859-1\n\ncaf\xe9", "caf\u00e9"),
        (b"Subject: s\nContent-Transfer-Encoding: base64\n\n!!!not base64", None),
        (b"From: a\nContent-Type: multipart/mixed; boundary=x\n\n--y\n\nnever\n", None),
    ],
)
def test_a_mail_that_is_not_as_it_should_be_is_read_as_far_as_it_can_be(parse, content: bytes, text: str) -> None:
    found = [block for _, _, block in outline(parse("a.eml", content))]
    assert text is None or text in found


def test_the_long_tail_comes_through_loaders(parse) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# T\n", "text"]},
        {"cell_type": "code", "source": "x=1", "outputs": []},
    ]
    assert "# T\ntext" in parse("a.ipynb", json.dumps({"cells": cells}).encode()).text
    saved = b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<html><p>Saved page</p></html>"
    assert parse("a.mhtml", saved).text == "Saved page"
    row = b"1\tthey\tthey\tPRON\tPRP\t_\t2\tnsubj\t_\t_\n"
    assert parse("a.conllu", row).text == "they"


def archive(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in entries.items():
            opened.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (archive(readme=b"x"), "another archive"),
        (archive(word__document=b"x", **{"/etc/passwd": b"x"}), "outside of itself"),
        (archive(**{"word/document.xml": b"x", "../../a": b"x"}), "outside of itself"),
        (archive(**{"word/document.xml": b"<w>" + b" " * 60_000_000}), "unpacks to"),
        (archive(**{"word/document.xml": b'<!DOCTYPE w [<!ENTITY a "b">]><w>&a;</w>'}), "DOCTYPE"),
        (archive(**{"word/document.xml": '<!DOCTYPE w SYSTEM "file:///etc/passwd"><w/>'.encode("utf-16")}), "DOCTYPE"),
        (archive(**{"word/document.xml": b"<w>"}), "cannot be read"),
    ],
)
def test_a_hostile_archive_is_refused_before_it_is_unpacked(parse, content: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        parse("a.docx", content)
