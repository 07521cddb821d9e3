"""`atrium tenant`: the platform's tenants. Needs a platform key; the local stack's own is found by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.table import Table

from cli.client.api import Api
from cli.client.locate import platform_api
from cli.commands.options import DataDirOption, KeyOption, UrlOption
from cli.console import ERR, OUT
from cli.errors import CliError

app = typer.Typer(help="Create and list tenants.", no_args_is_help=True, add_completion=False)

JsonOption = Annotated[bool, typer.Option("--json", help="For programs")]


@app.command()
def create(
    tenant_id: Annotated[str, typer.Argument(help="a-z, 0-9 and -, at most 63 characters")],
    config: Annotated[Path | None, typer.Option(help="A JSON file with the tenant's config")] = None,
    tier: Annotated[str | None, typer.Option(help="basic, pro or enterprise")] = None,
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
    made = platform_api(url, key, data_dir).call("POST", "/tenants", body)
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
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("tenant", "tier", "config", "since"):
        table.add_column(heading, no_wrap=True)
    for item in items:
        table.add_row(item["tenant_id"], item["tier"], str(item["config_version"]), str(item["created_at"])[:10])
    OUT.print(table)


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
