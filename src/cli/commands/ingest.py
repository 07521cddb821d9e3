"""`atrium ingest`: files into a tenant's documents."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.client.api import Api, ApiError, tenant_path
from cli.client.locate import tenant_api
from cli.commands.options import DataDirOption, KeyOption, TenantOption, UrlOption
from cli.console import ERR, OUT, printable
from cli.errors import CliError

LOOK_EVERY_S = 1.0

app = typer.Typer(add_completion=False)


@app.command()
def ingest(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Text, Markdown, HTML, PDF, Word, CSV, JSON")],
    tenant: TenantOption,
    title: Annotated[str | None, typer.Option(help="For a single file; default: its name")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until large files are processed")] = True,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Upload documents. Each is committed and searchable when its line has a tick. Exit code 1 if any failed."""
    if title is not None and len(files) > 1:
        raise CliError("--title is for a single file", hint="without it each document is called by its file's name")
    api = tenant_api(url, key, data_dir, tenant)
    failed = 0
    jobs: list[tuple[Path, str]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as progress:
        task = progress.add_task("Ingesting", total=len(files))
        for file in files:
            failed += not _ingest(api, tenant, file, title, progress, jobs)
            progress.advance(task)
        if wait:
            failed += sum(not _finished(api, tenant, file, document_id, progress) for file, document_id in jobs)
    if failed:
        raise CliError(f"{failed} of {len(files)} files failed")


def _ingest(
    api: Api, tenant: str, file: Path, title: str | None, progress: Progress, jobs: list[tuple[Path, str]]
) -> bool:
    """One line for the file; False if it failed. A large one is only taken in, and is then one of `jobs`. An address
    out of reach ends the whole command."""
    if problem := _unreadable(file):
        _line(progress, file, problem, ok=False)
        return False
    try:
        receipt = api.upload(tenant_path(tenant, "documents"), file, {"title": title} if title else {})
    except ApiError as error:
        _line(progress, file, error.message, ok=False)
        return False
    if receipt["state"] != "ready":
        jobs.append((file, receipt["document_id"]))
        _line(progress, file, f"{receipt['document_id']}, {receipt['state']}", mark=("…", "yellow"))
        return True
    _ready(progress, file, receipt)
    return True


def _finished(api: Api, tenant: str, file: Path, document_id: str, progress: Progress) -> bool:
    """Waits for a job and says how it ended; False if it failed, or was withdrawn by somebody else."""
    task = progress.add_task(printable(file.name), total=None)
    try:
        while True:
            found = api.call("GET", tenant_path(tenant, "documents", document_id))
            if found["state"] == "ready":
                _ready(progress, file, found)
                return True
            if found["state"] == "failed":
                _line(progress, file, found["error"] or "failed", ok=False)
                return False
            done = found["progress"] or {"done": 0, "total": None}
            progress.update(task, completed=done["done"], total=done["total"])
            time.sleep(LOOK_EVERY_S)
    except ApiError as error:
        _line(progress, file, error.message, ok=False)
        return False
    finally:
        progress.remove_task(task)


def _ready(progress: Progress, file: Path, document: Mapping[str, Any]) -> None:
    chunks = document["chunks"]
    _line(progress, file, f"{document['document_id']}, {chunks} chunk{'s' * (chunks != 1)}")


def _unreadable(file: Path) -> str:
    try:
        with file.open("rb"):
            return ""
    except OSError as error:
        return str(error.strerror).lower()


def _line(progress: Progress, file: Path, text: str, *, ok: bool = True, mark: tuple[str, str] | None = None) -> None:
    mark = mark or (("✓", "green") if ok else ("✗", "bold red"))
    line = Text.assemble(mark, f" {printable(str(file))}: ", (printable(text), "dim" if ok else ""))
    if progress.disable:
        (OUT if ok else ERR).print(line)
    else:
        progress.console.print(line)
