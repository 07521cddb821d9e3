"""CloudWatch Logs, through watchtower: batches of records, from a thread of their own.

Requests only put a record into a bounded queue. watchtower sorts, cuts and sends batches and makes the log group and
the stream; how long is waited for AWS, how often is tried again and what is lost, is decided and counted here: left to
itself, watchtower's queue has no bound and what it loses is a warning.
"""

from __future__ import annotations

import logging
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from observability.logging import JsonFormatter
from observability.outbox import Outbox

MAX_WAITING, BATCH, LINGER_S = 4_096, 512, 2.0
_UNFIT = re.compile(r"[^A-Za-z0-9._/-]")
_OF_ITS_OWN = ("botocore", "urllib3", "boto3")
"""Loggers of the client that sends: each request would make records that make requests."""


def stream_name(service: str, host: str | None = None) -> str:
    """One stream a pod and service: a pod's host name is its name."""
    return _UNFIT.sub("-", f"{service}/{host or platform.node()}")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A log record: what is formatted of it."""

    name: str
    level: int
    level_name: str
    created: float
    message: str
    fields: object
    exception: str | None

    @staticmethod
    def read(found: dict[str, Any]) -> logging.LogRecord:
        return logging.makeLogRecord(
            {
                "name": found["name"],
                "levelno": found["level"],
                "levelname": found["level_name"],
                "created": found["created"],
                "msg": found["message"],
                "fields": found["fields"],
                "exc_text": found["exception"],
            }
        )


class CloudWatchLogs(logging.Handler):
    """`open_client` gives boto3's client for CloudWatch Logs, and is called in the thread that sends."""

    def __init__(
        self,
        open_client: Callable[[], Any],
        *,
        group: str,
        stream: str,
        formatter: logging.Formatter,
        dropped: Callable[[int, str], None],
        linger_s: float = LINGER_S,
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._open_client = open_client
        self._group = group
        self._stream = stream
        self._quieted: list[logging.Handler] = []
        self._losses = _Losses()
        self._outbox = Outbox[_Waiting, logging.LogRecord](
            "logs",
            self._send,
            read=_Waiting.read,
            opening=lambda: self._client,
            capacity=MAX_WAITING,
            batch=BATCH,
            linger_s=linger_s,
            dropped=dropped,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Formatted later; but a traceback now, which would keep everything alive that its frames hold."""
        if record.name.startswith(_OF_ITS_OWN):
            return
        exception = record.exc_text
        if record.exc_info:
            assert self.formatter is not None  # noqa: S101  set above
            exception = self.formatter.formatException(record.exc_info)
        fields = getattr(record, "fields", None)
        self._outbox.put(
            _Waiting(
                record.name, record.levelno, record.levelname, record.created, record.getMessage(), fields, exception
            )
        )

    def start(self) -> None:
        """From now on it gets every record; stdout, only what an operator should see there too."""
        root = logging.getLogger()
        self._quieted = [
            handler for handler in root.handlers if isinstance(handler.formatter, JsonFormatter) and handler is not self
        ]
        for handler in self._quieted:
            handler.setLevel(logging.WARNING)
        root.addHandler(self)
        self._outbox.start()

    def wait_until_open(self, within_s: float) -> None:
        self._outbox.wait_until_open(within_s)

    def end(self, *, within_s: float) -> None:
        logging.getLogger().removeHandler(self)
        for handler in self._quieted:
            handler.setLevel(logging.NOTSET)
        self._outbox.end(within_s=within_s)

    def _send(self, records: list[logging.LogRecord]) -> None:
        """Raises what the client raises."""
        for record in records:
            self._watchtower.emit(record)
        self._watchtower.flush()
        self._losses.raise_again()

    @cached_property
    def _client(self) -> Any:
        """And its data of all that AWS can do."""
        import watchtower  # noqa: F401, PLC0415  loads boto3, which nobody without this sink needs

        return self._open_client()

    @cached_property
    def _watchtower(self) -> Any:
        """Asks AWS for the log group."""
        import watchtower  # noqa: PLC0415  as above

        handler = watchtower.CloudWatchLogHandler(
            log_group_name=self._group,
            log_stream_name=self._stream,
            boto3_client=_Telling(self._client, self._losses),
            send_interval=1,
        )
        handler.setFormatter(self.formatter)
        return handler


class _Losses:
    """What went wrong while a batch was sent, for the thread that waits for its end."""

    def __init__(self) -> None:
        self._error: Exception | None = None

    def note(self, error: Exception) -> None:
        self._error = error

    def raise_again(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


class _Telling:
    """The client, whose failures to put events watchtower is not told: it would try again at once, five times, and
    then lose them silently. That the stream is not there yet, it is told, and makes it."""

    def __init__(self, client: Any, losses: _Losses) -> None:
        self._client = client
        self._losses = losses

    def put_log_events(self, **events: Any) -> Any:
        try:
            return self._client.put_log_events(**events)
        except self._client.exceptions.ResourceNotFoundException:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the batch did not arrive
            self._losses.note(error)
            return {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
