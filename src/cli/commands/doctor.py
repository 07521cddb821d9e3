"""`atrium doctor`: what is missing, and how to mend it."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.text import Text

from cli.commands.options import DataDirOption
from cli.console import OUT
from cli.doctor import examine
from cli.local.data_dir import DataDir

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    data_dir: DataDirOption = None,
    port: Annotated[int, typer.Option(envvar="ROUTER_PORT", help="The router's port")] = 8080,
) -> None:
    """Check everything that `atrium up` needs. Exit code 1 if something is missing."""
    findings = examine(DataDir.at(data_dir), port, os.environ)
    for finding in findings:
        OUT.print(Text.assemble(("✓ ", "green") if finding.ok else ("✗ ", "bold red"), finding.text))
        if not finding.ok and finding.mend:
            OUT.print(Text(f"  {finding.mend}", style="yellow"))
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)
