"""Where the command writes: answers to stdout, everything about them to stderr."""

from __future__ import annotations

import re
import sys
from typing import TextIO

from rich.console import Console
from rich.text import Text

from cli.errors import CliError


def _console(stream: TextIO, *, stderr: bool) -> Console:
    """A pipe has no width: nothing is cut or folded for it. Without `emoji`, ":key:" stays what somebody wrote."""
    width = None if stream.isatty() else 1_000
    return Console(highlight=False, emoji=False, soft_wrap=True, stderr=stderr, width=width)


OUT = _console(sys.stdout, stderr=False)
ERR = _console(sys.stderr, stderr=True)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Without the control characters that would move the cursor or colour the terminal of whoever reads it."""
    return _CONTROL.sub("", text)


def show_error(error: CliError) -> None:
    ERR.print(Text.assemble(("✗ ", "bold red"), printable(error.message)))
    if error.hint:
        ERR.print(Text(f"  {printable(error.hint)}", style="dim"))
