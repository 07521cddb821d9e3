"""`atrium ingest`: files into a tenant's documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.client.api import Api, ApiError, tenant_path
from cli.client.locate import tenant_api
from cli.commands.options import DataDirOption, KeyOption, TenantOption, UrlOption
from cli.console import ERR, OUT, printable
from cli.errors import CliError

app = typer.Typer(add_completion=False)


@app.command()
def ingest(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Text and Markdown files")],
    tenant: TenantOption,
    title: Annotated[str | None, typer.Option(help="For a single file; default: its name")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Upload documents. Each is committed and searchable when its line appears. Exit code 1 if any failed."""
    if title is not None and len(files) > 1:
        raise CliError("--title is for a single file", hint="without it each document is called by its file's name")
    api = tenant_api(url, key, data_dir, tenant)
    failed = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as progress:
        task = progress.add_task("Ingesting", total=len(files))
        for file in files:
            failed += not _ingest(api, tenant, file, title, progress)
            progress.advance(task)
    if failed:
        raise CliError(f"{failed} of {len(files)} files failed")


def _ingest(api: Api, tenant: str, file: Path, title: str | None, progress: Progress) -> bool:
    """One line for the file; False if it failed. An address out of reach ends the whole command."""
    if problem := _unreadable(file):
        _line(progress, file, problem, ok=False)
        return False
    try:
        receipt = api.upload(tenant_path(tenant, "documents"), file, {"title": title} if title else {})
    except ApiError as error:
        _line(progress, file, error.message, ok=False)
        return False
    chunks = receipt["chunks"]
    _line(progress, file, f"{receipt['document_id']}, {chunks} chunk{'s' * (chunks != 1)}", ok=True)
    return True


def _unreadable(file: Path) -> str:
    try:
        with file.open("rb"):
            return ""
    except OSError as error:
        return str(error.strerror).lower()


def _line(progress: Progress, file: Path, text: str, *, ok: bool) -> None:
    mark = ("✓", "green") if ok else ("✗", "bold red")
    line = Text.assemble(mark, f" {printable(str(file))}: ", (printable(text), "dim" if ok else ""))
    if progress.disable:
        (OUT if ok else ERR).print(line)
    else:
        progress.console.print(line)
