"""`atrium backup`: all state of a data directory in one file, also while the stack runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cli.backup.make import make_backup
from cli.backup.manifest import Manifest
from cli.backup.source import open_source
from cli.client.download import require_writable
from cli.commands.options import DataDirOption, JsonOption
from cli.console import ERR, OUT
from cli.local.data_dir import DataDir
from cli.sizes import tell_bytes

app = typer.Typer(add_completion=False)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Becomes the backup when it is whole")],
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Also the platform key and what tenants' secrets are sealed with")
    ] = False,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Write all tenants, documents, conversations, usage and the audit log of one moment into FILE (mode 600)."""
    started, target = time.monotonic(), file.expanduser().resolve()
    require_writable(target)
    with open_source(DataDir.at(data_dir)) as source:
        manifest = make_backup(source, target, with_secrets=with_secrets)
    if as_json:
        OUT.print(manifest.model_dump_json(exclude={"objects"}, indent=2), markup=False)
    _tell(target, manifest, time.monotonic() - started)


def _tell(target: Path, manifest: Manifest, took_s: float) -> None:
    said = f"{tell_bytes(target.stat().st_size)}, schema {manifest.schema_revision}, of {manifest.made_at:%H:%M:%S} UTC"
    ERR.print(Text.assemble(("✓ ", "green"), (str(target), "bold"), f"  {said}", (f"  {took_s:.1f} s", "dim")))
    if manifest.secrets is None:
        ERR.print(
            "  Without secrets: restored elsewhere, the platform gets a new key, and keys that tenants gave for"
            " engines of their own\n  cannot be opened any more. Keep secrets.json (or SEALING_KEYS) apart from"
            " this file, or use --with-secrets.",
            style="dim",
            markup=False,
        )
    else:
        ERR.print("  It has all keys of this stack: whoever reads it is the platform.", style="yellow", markup=False)
