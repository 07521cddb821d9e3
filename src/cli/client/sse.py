"""Server-sent events, as far as the router sends them: an event's name and one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerEvent:
    name: str
    data: Any


def read_events(lines: Iterable[bytes]) -> Iterator[ServerEvent]:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html; comments (heartbeats) are skipped."""
    name, data = "message", ""
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            yield ServerEvent(name, json.loads(data))
            name, data = "message", ""
        elif field == "event":
            name = value
        elif field == "data":
            data += value
