"""`.eml`: a mail's subject, who wrote it to whom and when, and its text; of attachments the names alone.

Read by the standard library: LangChain's loader needs a package ten times the size of all other parsers.
"""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart

from contracts.errors import InvalidRequestError
from rag.domain.extracted import Parsed
from rag.ingestion.formats.html import read_html
from rag.ingestion.formats.writing import Writer, one_line

SHOWN = ("From", "To", "Cc", "Date")
MAX_PARTS = 10_000
MAX_ATTACHMENTS = 100
"""Of which the names are kept."""


def parse(content: bytes) -> Parsed:
    """Raises InvalidRequestError, BodyTooLargeError."""
    if content.count(b"\n--") > MAX_PARTS:  # which the library would take minutes for
        raise InvalidRequestError(f"the mail has more than {MAX_PARTS} parts")
    mail = message_from_bytes(content, policy=policy.default)
    if not isinstance(mail, EmailMessage) or not any(name in mail for name in ("From", "Subject", "Date")):
        raise InvalidRequestError("the file is called .eml and has no header of a mail")
    writer = Writer()
    writer.heading(1, str(mail["Subject"] or ""))
    writer.text("\n".join(f"{name}: {one_line(str(mail[name]))}" for name in SHOWN if mail[name]))
    body = mail.get_body(preferencelist=("plain", "html"))
    if body is not None:
        _write(writer, body)
    names = [one_line(part.get_filename() or "") for part in mail.iter_attachments()] if mail.is_multipart() else []
    if any(names):
        writer.text("Attachments: " + ", ".join(filter(None, names[:MAX_ATTACHMENTS])))
    return writer.parsed()


def _write(writer: Writer, body: MIMEPart) -> None:
    text = _text(body)
    if body.get_content_subtype() != "html":
        for paragraph in text.split("\n\n"):
            writer.text(paragraph)
    elif text.strip():
        page = read_html(text.encode("utf-8", "replace"))
        for block in page.blocks:
            writer.text(page.text[block.start : block.end])


def _text(body: MIMEPart) -> str:
    try:
        return str(body.get_content()).replace("\r\n", "\n")
    except (LookupError, ValueError):  # a character set that there is not
        raw = body.get_payload(decode=True)
        return raw.decode("latin-1") if isinstance(raw, bytes) else ""
