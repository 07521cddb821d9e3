"""`atrium tenant`: the platform's tenants. Needs a platform key; the local stack's own is found by itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from cli import receipt
from cli.archive import Archive, ArchiveError, check_archive
from cli.client.api import Api, tenant_path
from cli.client.download import Progress as Told
from cli.client.download import copy, require_writable, save
from cli.client.locate import admin_api, platform_api
from cli.commands.options import DataDirOption, JsonOption, KeyOption, UrlOption
from cli.confirm import confirm_by_typing
from cli.console import ERR, OUT, printable
from cli.errors import CliError
from cli.table import cell, plain_table

app = typer.Typer(help="Create, list, suspend, export and delete tenants.", no_args_is_help=True, add_completion=False)

TenantArgument = Annotated[str, typer.Argument(metavar="ID", help="The tenant's id")]
_STATES = {"active": "green", "suspended": "yellow", "deleting": "red"}


@app.command()
def create(
    tenant_id: Annotated[str, typer.Argument(metavar="ID", help="a-z, 0-9 and -, at most 63 characters")],
    config: Annotated[Path | None, typer.Option(help="A JSON file with the tenant's config")] = None,
    tier: Annotated[str | None, typer.Option(help="basic, pro or enterprise")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="With the same one, the same command may be repeated and answers the same")
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Create a tenant and print its administrator's key, which is shown this once."""
    body: dict[str, Any] = {"tenant_id": tenant_id}
    if config is not None:
        body["config"] = _read_config(config)
    if tier is not None:
        body["tier"] = tier
    headers = {"idempotency-key": idempotency_key} if idempotency_key is not None else {}
    made = platform_api(url, key, data_dir).call("POST", "/tenants", body, headers=headers)
    if as_json:
        OUT.print(json.dumps(made), markup=False)
        return
    ERR.print(f"[green]✓[/green] tenant {made['tenant_id']}; its administrator's key, shown this once:")
    OUT.print(made["admin_key"], markup=False)


@app.command("list")
def list_tenants(
    as_json: JsonOption = False, url: UrlOption = None, key: KeyOption = None, data_dir: DataDirOption = None
) -> None:
    """List all tenants."""
    items = list(_pages(platform_api(url, key, data_dir)))
    if as_json:
        OUT.print(json.dumps(items, indent=2), markup=False)
        return
    headings = ("tenant", "state", "tier", "config", "since", "name")
    table = plain_table(*headings, fold=("tenant", "name"), numbers=("config",))
    for item in items:
        state = item["state"]
        table.add_row(
            cell(item["tenant_id"], "bold"),
            cell(state, _STATES.get(state, "")),
            cell(item["tier"]),
            cell(item["config_version"]),
            cell(item["created_at"][:10]),
            cell(item["display_name"]),
        )
    OUT.print(table)


@app.command()
def suspend(
    tenant_id: TenantArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Refuse a tenant's requests from a second later on. What it has stays readable for its admin."""
    _change(platform_api(url, key, data_dir), tenant_id, "suspend", as_json=as_json)


@app.command()
def resume(
    tenant_id: TenantArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Take a suspended tenant's requests again."""
    _change(platform_api(url, key, data_dir), tenant_id, "resume", as_json=as_json)


@app.command()
def delete(
    tenant_id: TenantArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Remove everything of a tenant, everywhere, and print the receipt. Exit code 1 if anything is left."""
    api = platform_api(url, key, data_dir)
    if not yes:
        confirm_by_typing(tenant_id, f"Everything of the tenant {tenant_id} at {api.url} is removed, for good.")
    told = api.call("DELETE", f"/tenants/{quote(tenant_id, safe='')}")
    if as_json:
        OUT.print(json.dumps(told), markup=False)
    else:
        OUT.print(receipt.table(told))
    if left := receipt.left(told):
        raise CliError(f"{left} things of {tenant_id} are left", hint="the same command goes on where this one stopped")
    ERR.print(f"[green]✓[/green] tenant {told['tenant_id']} is deleted; the platform's audit log keeps the receipt")


@app.command()
def export(
    tenant_id: TenantArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The ZIP; - is standard output")],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Take everything of a tenant away, as a ZIP of JSON Lines.

    FILE appears when it is whole: all that is in it has the SHA-256 that its manifest says.

    To standard output it goes as it comes, unchecked; an archive that broke off does not open.
    """
    api = admin_api(url, key, data_dir, tenant_id)
    path = tenant_path(tenant_id, "export")
    if output == "-":
        _export_to_stdout(api, path)
        return
    target = Path(output).expanduser().absolute()
    require_writable(target)

    def check(draft: Path) -> Archive:
        found = check_archive(draft, name="what came")
        if found.tenant_id != tenant_id:
            raise ArchiveError(f"the export is of {found.tenant_id}, not of {tenant_id}")
        return found

    with api.download(path) as pieces, _bytes_shown() as progress:
        lines = dict(save(pieces, target, check, progress).lines)
    size = target.stat().st_size
    if as_json:
        OUT.print(json.dumps({"file": str(target), "bytes": size, "lines": lines}), markup=False)
    else:
        ERR.print(f"[green]✓[/green] {size:,} bytes, every file's sum as in the manifest")
        OUT.print(str(target), markup=False)


def _export_to_stdout(api: Api, path: str) -> None:
    if sys.stdout.isatty():
        raise CliError("a ZIP is nothing for a terminal", hint="-o FILE, or into a pipe")
    with api.download(path) as pieces, _bytes_shown() as progress:
        size = copy(pieces, sys.stdout.buffer, progress)
        sys.stdout.buffer.flush()
    ERR.print(f"[green]✓[/green] {size:,} bytes, unchecked")


@contextmanager
def _bytes_shown() -> Iterator[Told]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as progress:
        task = progress.add_task("Exporting", total=None)
        yield lambda size: progress.update(task, completed=size)


def _change(api: Api, tenant_id: str, what: str, *, as_json: bool) -> None:
    item = api.call("POST", f"/tenants/{quote(tenant_id, safe='')}/{what}")
    if as_json:
        OUT.print(json.dumps(item), markup=False)
    else:
        ERR.print(f"[green]✓[/green] tenant {item['tenant_id']} is {printable(item['state'])}")


def _pages(api: Api) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        page = api.call("GET", f"/tenants?{urlencode({'after': after})}")
        yield from page["items"]
        after = page.get("next")


def _read_config(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CliError(f"{path} cannot be read: {error}") from error
