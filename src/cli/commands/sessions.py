"""`atrium sessions`: the conversations of a tenant's users."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.text import Text

from cli.client.api import tenant_path
from cli.client.locate import admin_api
from cli.commands.options import DataDirOption, JsonOption, KeyOption, TenantOption, UrlOption
from cli.confirm import confirm
from cli.console import ERR, OUT, printable
from cli.errors import CliError
from cli.moments import tell_past
from cli.table import cell, plain_table

app = typer.Typer(help="List, show and delete conversations.", no_args_is_help=True, add_completion=False)

SessionArgument = Annotated[str, typer.Argument(metavar="SESSION_ID", help="As `atrium sessions list` shows it")]
UserOption = Annotated[str | None, typer.Option(metavar="U", help="Whose; default: all users'")]


@app.command("list")
def list_sessions(
    tenant: TenantOption,
    user: UserOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List sessions, newest first, 200 at most."""
    items = admin_api(url, key, data_dir, tenant).call("GET", _path(tenant, user, limit=200))["items"]
    if as_json:
        OUT.print(json.dumps(items, indent=2), markup=False)
        return
    now, table = datetime.now(UTC), plain_table("session", "user", "turns", "last", fold=("session", "user"))
    for item in items:
        last = tell_past(item["last_at"], now)
        table.add_row(cell(item["session_id"], "bold"), cell(item["user_id"]), cell(str(item["turns"])), cell(last))
    OUT.print(table)


@app.command()
def show(
    session_id: SessionArgument,
    tenant: TenantOption,
    user: UserOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show what was asked and told, oldest first."""
    api = admin_api(url, key, data_dir, tenant)
    found: list[Any] = []
    page: dict[str, Any] = {"next": 0}
    while page["next"] is not None:
        page = api.call("GET", _path(tenant, user, session_id, after=page["next"], limit=200))
        found += page["items"]
    if as_json:
        OUT.print(json.dumps(found, indent=2), markup=False)
        return
    for turn in found:
        mark = "" if turn["state"] == "answered" else f" ({turn['state']})"
        OUT.print(Text.assemble((f"{turn['number']} > ", "bold"), printable(turn["question"])))
        OUT.print(Text(f"{printable(turn['answer'])}{mark}\n"))


@app.command()
def delete(
    tenant: TenantOption,
    session_id: Annotated[str | None, typer.Argument(metavar="SESSION_ID", help="Without it: all of --user's")] = None,
    user: UserOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Delete a session, or all of a user's. Every router has forgotten it by the next request."""
    if session_id is None and user is None:
        raise CliError("name a session, or a user with --user")
    what = f"all sessions of the user {user}" if session_id is None else f"the session {session_id}"
    api = admin_api(url, key, data_dir, tenant)
    if not yes:
        confirm(f"Delete {what} of the tenant {tenant}?")
    api.call("DELETE", _path(tenant, user, *([session_id] if session_id else ())))
    ERR.print(Text.assemble(("✓", "green"), f" deleted: {printable(what)}"))


def _path(tenant: str, user: str | None, *session_id: str, **values: int) -> str:
    named = {"user_id": user, **values} if user is not None else values
    path = tenant_path(tenant, "sessions", *(quote(part, safe="") for part in session_id))
    return f"{path}?{urlencode(named)}" if named else path
