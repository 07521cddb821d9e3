"""Who hears how the stack is coming along: a terminal, a plain log, or the process that waits for a detached start."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TextIO

from pydantic import BaseModel
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.local.run_state import ServiceState

_MARKS: Mapping[ServiceState, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "ready": ("✓", "green"),
    "external": ("✓", "green"),
    "stopped": ("·", "dim"),
    "failed": ("✗", "bold red"),
}


class Reporter(Protocol):
    def service(self, name: str, state: ServiceState, note: str = "") -> None:
        """`name` is in `state` now; `note` says what it waits for."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass
class _Line:
    state: ServiceState = "waiting"
    note: str = ""
    since: float = field(default_factory=time.monotonic)
    took: float | None = None


class LiveReporter:
    """One line a service, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._lines: dict[str, _Line] = {}
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=8)

    def service(self, name: str, state: ServiceState, note: str = "") -> None:
        line = self._lines.setdefault(name, _Line())
        if state != line.state:
            now = time.monotonic()
            line.took = None if state in {"starting", "stopping"} else now - line.since
            if state in {"starting", "stopping"}:
                line.since = now
            line.state = state
        line.note = note

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, line in self._lines.items():
            mark = _MARKS.get(line.state)
            seconds = line.took if line.took is not None else time.monotonic() - line.since
            shown = "" if line.state in {"waiting", "external"} else f"{seconds:5.1f} s"
            table.add_row(
                Text(f" {mark[0]}", style=mark[1]) if mark else Spinner("dots", style="cyan"),
                Text(name, style="bold" if line.state != "waiting" else "dim"),
                Text(line.state, style=mark[1] if mark else "cyan"),
                Text(shown, style="dim"),
                Text(line.note, style="dim"),
            )
        return table


class LineReporter:
    """One line a change, for logs and pipes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._since: dict[str, float] = {}
        self._state: dict[str, ServiceState] = {}

    def service(self, name: str, state: ServiceState, note: str = "") -> None:
        before = self._state.get(name)
        if state in {before, "waiting"}:
            return
        self._state[name] = state
        if state in {"starting", "stopping"}:
            self._since[name] = time.monotonic()
        took = f" ({time.monotonic() - self._since[name]:.1f} s)" if state in {"ready", "stopped"} else ""
        self._say(f"{name}: {state}{took}{f': {note}' if note and state == 'failed' else ''}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class Message(BaseModel):
    """One line from a detached supervisor to the command that started it: a change, the summary, or the failure."""

    service: str | None = None
    state: ServiceState | None = None
    note: str = ""
    summary: str | None = None
    error: str | None = None
    hint: str = ""


class WireReporter:
    """Changes as JSON lines to the waiting command; silent when that has gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def service(self, name: str, state: ServiceState, note: str = "") -> None:
        self.send(Message(service=name, state=state, note=note))

    def send(self, message: Message) -> None:
        try:
            self._stream.write(message.model_dump_json(exclude_defaults=True) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            return

    def close(self) -> None:
        """The waiting command sees the end of the stream. Standard output goes nowhere from now on."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return
