"""What a part of the stack is: its command, its environment, when it is ready, how it is asked to end."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

PROBE_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Health:
    """`note` says what is still missing."""

    ready: bool
    note: str = ""


def _nothing() -> None:
    """Nothing to do."""


@dataclass(frozen=True)
class Service:
    """One process of the stack. `command`, `prepare`, `health` and `once_ready` may block: they run in a thread,
    but for `command`.

    `after`: must be ready before this one is started. `behind`: its readiness includes theirs, so that its own time
    to start, `start_within_s`, is counted from when they are ready. `stage`: lower ones are stopped first.
    """

    name: str
    command: Callable[[], Sequence[str]]
    environment: Mapping[str, str]
    health: Callable[[], Health]
    url: str
    port: int | None = None
    prepare: Callable[[], None] = _nothing
    once_ready: Callable[[], None] = _nothing
    after: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    start_within_s: float = 120.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 12.0
    stage: int = 0


@dataclass(frozen=True)
class HttpProbe:
    """Readiness over HTTP: 200 is ready; a body of `contracts.health.Readiness` tells what is missing."""

    url: str
    nothing_yet: str = ""

    def __call__(self) -> Health:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", parts.path or "/")
            response = connection.getresponse()
            body = response.read(65_536)
        except (OSError, http.client.HTTPException):
            return Health(ready=False, note=self.nothing_yet)
        finally:
            connection.close()
        return Health(ready=True) if response.status == 200 else Health(ready=False, note=_missing(body))


def _missing(body: bytes) -> str:
    try:
        states = json.loads(body)["dependencies"]
        down = sorted(name for name, state in states.items() if state != "ok")
    except (ValueError, TypeError, KeyError, AttributeError):
        return "not ready yet"
    return f"waits for {', '.join(down)}" if down else "not ready yet"
