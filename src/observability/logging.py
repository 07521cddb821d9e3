"""Structured logs: one JSON object a line on stdout, whatever a client put into a value."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

REQUEST_LOGGER = "atrium.request"
"""The logger of request records: one line a request, with the fields of `RequestRecord`."""


class JsonFormatter(logging.Formatter):
    """JSON escaping makes CR, LF, ANSI and quotes in a value harmless: a record is always one line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            entry.update(fields)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # half a surrogate pair somewhere: escaped, for a record must never be lost or raw
            return json.dumps(entry, default=str)


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
