"""`atrium`: the entry point. A command's module is imported when the command is used, so that each starts quickly."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from cli.console import show_error
from cli.errors import CliError
from cli.local.data_dir import disk_error

COMMANDS = (
    "up",
    "status",
    "down",
    "backup",
    "restore",
    "chat",
    "ingest",
    "tenant",
    "key",
    "sessions",
    "audit",
    "usage",
    "engine",
    "doctor",
)
"""In the order of `atrium --help`; each is a module of `cli.commands` with a Typer named `app`."""


class _Commands(TyperGroup):
    def list_commands(self, _ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(importlib.import_module(f"cli.commands.{cmd_name}").app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
)


@app.callback()
def atrium() -> None:
    """Atrium on this machine: the whole stack, and a client of its API."""


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="replace")  # a terminal without UTF-8 gets "?" for a tick, not a traceback
    try:
        app()
    except CliError as error:
        show_error(error)
        sys.exit(1)
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # `atrium chat … | head`
            sys.exit(0)
        known = disk_error(error)
        if known is None:
            raise
        show_error(known)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
