"""What the `atrium` command can do."""

from __future__ import annotations

from importlib import import_module

import typer.main

from cli.main import COMMANDS


def commands() -> list[str]:
    """As one types them: `atrium up`, `atrium tenant create`."""
    found = []
    for name in COMMANDS:
        inner = getattr(typer.main.get_command(import_module(f"cli.commands.{name}").app), "commands", {})
        found += [f"atrium {name} {sub}" for sub in inner] or [f"atrium {name}"]
    return sorted(found)
