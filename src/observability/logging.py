"""Structured logs: one JSON object a line on stdout, whatever a client put into a value.

Every text passes the redactor with all its kinds: messages, fields, what stands within lists and objects, exceptions.
By the field's name, identifiers that we made or checked stay as they are, and so do IP addresses of our own machines.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from guard.kinds import Kind
from guard.redaction import Redactor

REQUEST_LOGGER = "atrium.request"
"""The logger of request records: one line a request, with the fields of `RequestRecord`."""
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS

_BREAKS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON leaves as it is, and some readers of logs take as the end of a line, as a terminal's command, or as an
order to show what follows from right to left, in front of it."""

IDENTIFIERS = frozenset(
    {"request_id", "tenant_id", "chunk_ids", "citations", "document_id", "key_id", "event_id", "lease_id", "hash"}
)
"""Fields by which records are found and joined. `user_id` and `session_id` are not among them: a client may write an
e-mail address there."""
ADDRESSES = frozenset({"address", "host", "peer", "replica", "url"})
"""Fields with addresses of our own machines. A password in one goes."""
_NUMBERS = (int, float)
MAX_TEXT, MAX_EXCEPTION = 4_096, 32_768
"""Characters of a text that are logged: looking through more of a client's path would hold up the others."""
_MAX_DEPTH = 8
"""Of lists and objects in a field; what is deeper becomes one text."""


_INPUT = re.compile(r"input_value=.*, input_type=")
"""What pydantic quotes of a value that it does not accept, on one line."""


class JsonFormatter(logging.Formatter):
    """JSON escaping makes CR, LF, ANSI and quotes in a value harmless: a record is always one line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service
        self._redactor = Redactor(Kind)
        self._of_addresses = Redactor(set(Kind) - {Kind.IP})

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _redacted_text(record.getMessage(), self._redactor),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            for name, value in fields.items():
                if value is None or name in IDENTIFIERS or isinstance(value, _NUMBERS):
                    entry[name] = value
                else:
                    entry[name] = _redacted(value, self._of_addresses if name in ADDRESSES else self._redactor)
        if exception := self.formatException(record.exc_info) if record.exc_info else record.exc_text:
            told = _INPUT.sub("input_value=…, input_type=", exception)
            entry["exception"] = _redacted_text(told, self._redactor, MAX_EXCEPTION)
        try:
            line = orjson.dumps(entry, default=self._text, option=_OPTIONS).decode()
            return line if line.isascii() and "\x7f" not in line else _BREAKS.sub(_escaped, line)
        except TypeError:  # half a surrogate pair somewhere: escaped, for a record must never be lost or raw
            return json.dumps(entry, default=self._text)

    def _text(self, value: object) -> str:
        return _redacted_text(str(value), self._redactor)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _redacted(value: Any, redactor: Redactor, depth: int = 0) -> Any:
    if isinstance(value, str):
        return _redacted_text(value, redactor)
    if value is None or isinstance(value, _NUMBERS):
        return value
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, redactor, depth + 1) for item in value]
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {name: _redacted(item, redactor, depth + 1) for name, item in value.items()}
    return _redacted_text(str(value), redactor)


def _redacted_text(text: str, redactor: Redactor, at_most: int = MAX_TEXT) -> str:
    if len(text) <= at_most:
        return redactor.redact(text)
    # What cannot be decided at the cut is cut off as well.
    return redactor.redact(text[: at_most + redactor.window])[: -redactor.window] + "…"


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send every logger of the process to stdout as JSON. Called once, by a service's `main`."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("uvicorn.access", "httpx", "sentence_transformers", "faiss.loader"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def log(logger: logging.Logger, level: int, message: str, /, **fields: Any) -> None:
    """Log a constant message with fields; values never go into the message."""
    logger.log(level, message, extra={"fields": fields})
