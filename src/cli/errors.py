"""Expected failures of the command: a sentence for the user, never a traceback."""

from __future__ import annotations


class CliError(Exception):
    """`hint` says how to mend it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
