"""Times as people say them (`30d`, `2026-12-31`), and as they are told."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from cli.errors import CliError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"([0-9]{1,9})([smhdw])")


def read_span(text: str) -> timedelta:
    """`90s`, `15m`, `1h`, `30d`, `2w`. Raises CliError."""
    if text == "0":
        return timedelta(0)
    found = _SPAN.fullmatch(text)
    if found is None:
        raise CliError(f"{text!r} is no length of time", hint="for example 15m, 1h, 30d")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError as error:
        raise CliError(f"{text!r} is too long") from error


def read_end(text: str, now: datetime) -> datetime:
    """A length of time from now on, or a date or time of ISO 8601; one without a zone is UTC. Raises CliError."""
    try:
        if _SPAN.fullmatch(text):
            return now + read_span(text)
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise CliError(f"{text!r} is no time", hint="for example 30d, 2026-12-31 or 2026-12-31T18:00Z") from error


def tell_end(at: str | None, now: datetime) -> str:
    """When something ends, from its JSON."""
    if at is None:
        return "never"
    left = datetime.fromisoformat(at) - now
    if left <= timedelta(0):
        return "has ended"
    return f"in {_span(left)}" if left < timedelta(days=2) else at[:10]


def tell_past(at: str | None, now: datetime) -> str:
    """How long ago something was, from its JSON."""
    return "never" if at is None else f"{_span(now - datetime.fromisoformat(at))} ago"


def _span(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
