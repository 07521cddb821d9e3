"""Asking before something that cannot be taken back. The question goes to stderr: stdout is for the answer."""

from __future__ import annotations

import sys

from cli.console import ERR
from cli.errors import CliError

_HINT = "--yes does not ask"


def confirm_by_typing(word: str, question: str) -> None:
    """Raises CliError unless the word is typed."""
    ERR.print(question, markup=False)
    if _ask(f"Type {word} to go on: ") != word:
        raise CliError("nothing was done: that is not what was to be typed", hint=_HINT)


def confirm(question: str) -> None:
    """Raises CliError unless the answer is yes."""
    if _ask(f"{question} [y/N] ").lower() not in {"y", "yes"}:
        raise CliError("nothing was done", hint=_HINT)


def _ask(prompt: str) -> str:
    """Empty where nobody can answer. (input() and click.prompt write to stdout.)"""
    ERR.print(prompt, markup=False, end="")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        ERR.print()
    return answer.strip()
