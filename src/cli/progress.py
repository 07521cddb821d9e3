"""A line that lives while something takes its time: a spinner on a terminal, a sentence now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.console import ERR

_SAY_EVERY_S = 20.0


@contextmanager
def working(what: str) -> Iterator[None]:
    """Ends with the time it took."""
    started = time.monotonic()
    with _spinner(what) if ERR.is_terminal else _sentences(what, started):
        yield
    ERR.print(f"[green]✓[/green] {what} [dim]{time.monotonic() - started:.0f} s[/dim]")


@contextmanager
def _spinner(what: str) -> Iterator[None]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


@contextmanager
def _sentences(what: str, started: float) -> Iterator[None]:
    ERR.print(f"{what} …")
    over = threading.Event()

    def say() -> None:
        while not over.wait(_SAY_EVERY_S):
            ERR.print(f"  still at it, {time.monotonic() - started:.0f} s")

    talker = threading.Thread(target=say, daemon=True)
    talker.start()
    try:
        yield
    finally:
        over.set()
        talker.join()
