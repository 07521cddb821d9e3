"""`atrium restore`: a data directory as a backup has it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cli.backup.bring_back import Restored, restore
from cli.commands.options import DataDirOption
from cli.console import ERR
from cli.local.data_dir import DataDir

app = typer.Typer(add_completion=False)


@app.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `atrium backup` wrote")],
    force: Annotated[
        bool, typer.Option("--force", help="Also where there is something already, which is put aside")
    ] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Make an empty data directory hold what FILE has. All of it is checked before anything is written."""
    started, chosen = time.monotonic(), DataDir.at(data_dir)
    done = restore(file.expanduser().resolve(), chosen, force=force)
    _tell(chosen, done, time.monotonic() - started)


def _tell(data_dir: DataDir, done: Restored, took_s: float) -> None:
    said = f"  holds the state of {done.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
    ERR.print(Text.assemble(("✓ ", "green"), (str(data_dir.path), "bold"), said, (f"  {took_s:.1f} s", "dim")))
    if done.aside is not None:
        ERR.print(f"  What was there before: {done.aside} (remove it when it is not needed)", markup=False)
    if done.new_key:
        ERR.print(
            "  The platform has a new key, which `atrium up` will show once; the earlier ones go on. Keys that tenants"
            "\n  gave for engines of their own cannot be opened, unless SEALING_KEYS has what they were sealed with.",
            style="yellow",
            markup=False,
        )
    ERR.print("  Start it with: atrium up", markup=False)
