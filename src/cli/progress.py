"""A line that lives while something takes its time: a spinner on a terminal, a sentence now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.console import ERR

_SAY_EVERY_S = 20.0
_NAME_WIDTH = 10


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


class Step:
    """What is told of a step beside its name, as it goes on."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.text = ""

    def tell(self, text: str) -> None:
        self.text = text
        self._show(text)


@contextmanager
def step(what: str, *, quiet: bool = False) -> Iterator[Step]:
    """One line of several under each other: its name, what was told last, the time. `quiet`: none."""
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=quiet or not ERR.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        said = Step(lambda text: progress.update(task, description=f"{what:<{_NAME_WIDTH}} {text}"))
        yield said
    if not quiet:
        took = Text(f"  {time.monotonic() - started:.1f} s", style="dim")
        ERR.print(Text.assemble(("✓", "green"), f" {what:<{_NAME_WIDTH}} {said.text}", took))
