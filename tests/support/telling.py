"""What one logger said during a test: the shared stack and its threads log in the same process, at any moment."""

from __future__ import annotations

from logging import LogRecord
from threading import get_ident

import pytest


def told(caplog: pytest.LogCaptureFixture, logger: str) -> list[LogRecord]:
    """The records of `logger`, oldest first."""
    return [record for record in caplog.records if record.name == logger]


def told_here(caplog: pytest.LogCaptureFixture, logger: str) -> list[LogRecord]:
    """Those of them that the test's own thread made; for loggers of every request."""
    return [record for record in told(caplog, logger) if record.thread == get_ident()]
