"""`atrium key`: the API keys of a tenant, or of the platform."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from cli.client.api import tenant_path
from cli.client.locate import admin_api
from cli.commands.options import (
    DataDirOption,
    JsonOption,
    KeyOption,
    OneTenantOption,
    PlatformOption,
    UrlOption,
    chosen_tenant,
)
from cli.confirm import confirm
from cli.console import ERR, OUT, printable
from cli.errors import CliError
from cli.moments import read_end, read_span, tell_end, tell_past
from cli.table import cell, plain_table

app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True, add_completion=False)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `atrium key list` shows it")]
ExpiresOption = Annotated[
    str | None, typer.Option(metavar="30d|ISO", help="When the key ends; default: when it is revoked")
]


class TenantRole(StrEnum):
    TENANT_USER = "tenant_user"
    TENANT_ADMIN = "tenant_admin"
    SERVICE = "service"


@app.command()
def create(
    context: typer.Context,
    label: Annotated[str, typer.Option(help="What the key is for")],
    tenant: OneTenantOption = None,
    platform: PlatformOption = False,
    role: Annotated[TenantRole | None, typer.Option(help="Of a tenant's key; default tenant_user")] = None,
    expires: ExpiresOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Create a key. Its text goes to standard output, alone, and is shown this once."""
    whose = chosen_tenant(context, tenant, platform=platform)
    body: dict[str, Any] = {"label": label, **_ending(expires)}
    if whose is not None:
        body["role"] = (role or TenantRole.TENANT_USER).value
    elif role is not None:
        raise CliError("a platform key has no role to choose: it is platform_admin")
    made = admin_api(url, key, data_dir, whose).call("POST", _path(whose), body)
    _show(made, f"key {made['key_id']} ({made['role']})", as_json=as_json)


@app.command("list")
def list_keys(
    context: typer.Context,
    tenant: OneTenantOption = None,
    platform: PlatformOption = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List the keys, not their text, which nobody has."""
    whose = chosen_tenant(context, tenant, platform=platform)
    items = admin_api(url, key, data_dir, whose).call("GET", _path(whose))["items"]
    if as_json:
        OUT.print(json.dumps(items, indent=2), markup=False)
        return
    now = datetime.now(UTC)
    table = plain_table("key", "label", "role", "ends", "last used", fold=("label",))
    for item in items:
        ends = tell_end(item["expires_at"], now)
        table.add_row(
            cell(item["key_id"], "bold"),
            cell(item["label"]),
            cell(item["role"]),
            cell(ends, "" if ends == "never" else "yellow"),
            cell(tell_past(item["last_used_at"], now)),
        )
    OUT.print(table)


@app.command()
def rotate(
    context: typer.Context,
    key_id: KeyArgument,
    tenant: OneTenantOption = None,
    platform: PlatformOption = False,
    overlap: Annotated[
        str, typer.Option(metavar="1h", help="For how long the old key goes on; 0 ends it at once")
    ] = "1h",
    expires: ExpiresOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a new key in the place of an old one, which goes on for a while."""
    whose = chosen_tenant(context, tenant, platform=platform)
    body = {"overlap_s": int(read_span(overlap).total_seconds()), **_ending(expires)}
    made = admin_api(url, key, data_dir, whose).call("POST", f"{_path(whose, key_id)}/rotate", body)
    goes_on = f"goes on for {overlap}" if body["overlap_s"] else "has ended"
    _show(made, f"key {made['key_id']} ({made['role']}) follows {key_id}, which {goes_on}", as_json=as_json)


@app.command()
def revoke(
    context: typer.Context,
    key_id: KeyArgument,
    tenant: OneTenantOption = None,
    platform: PlatformOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """End a key. Every router refuses it a second later at the latest."""
    whose = chosen_tenant(context, tenant, platform=platform)
    api = admin_api(url, key, data_dir, whose)
    if not yes:
        confirm(f"Revoke {key_id} of {'the platform' if whose is None else f'the tenant {whose}'}?")
    api.call("DELETE", _path(whose, key_id))
    if as_json:
        OUT.print(json.dumps({"key_id": key_id, "revoked": True}), markup=False)
    else:
        ERR.print(Text.assemble(("✓", "green"), f" {printable(key_id)} is revoked"))


def _path(whose: str | None, *key_id: str) -> str:
    parts = ["keys", *(quote(part, safe="") for part in key_id)]
    return tenant_path(whose, *parts) if whose is not None else "/" + "/".join(parts)


def _ending(expires: str | None) -> dict[str, str]:
    return {} if expires is None else {"expires_at": read_end(expires, datetime.now(UTC)).isoformat()}


def _show(made: dict[str, Any], what: str, *, as_json: bool) -> None:
    if as_json:
        OUT.print(json.dumps(made), markup=False)
        return
    ends = tell_end(made["expires_at"], datetime.now(UTC))
    until = "" if ends == "never" else f", ends {ends}"
    ERR.print(Text.assemble(("✓", "green"), f" {printable(what)}{until}. Shown this once:"))
    OUT.print(made["key"], markup=False)
