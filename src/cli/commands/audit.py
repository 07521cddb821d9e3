"""`atrium audit`: who did what, and whether that record is still the one that was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.text import Text

from cli.audit_table import show_events
from cli.chain.check import BrokenChainError, Verified
from cli.chain.files import ChainFiles
from cli.chain.live import LiveChain
from cli.client.api import Api, tenant_path
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
from cli.console import ERR, OUT, printable
from cli.errors import CliError
from contracts.tenant import InvalidTenantIdError, TenantId

app = typer.Typer(help="Read and verify the audit log.", no_args_is_help=True, add_completion=False)
_PAGE = 500


@app.command("list")
def list_events(
    context: typer.Context,
    tenant: OneTenantOption = None,
    platform: PlatformOption = False,
    limit: Annotated[int, typer.Option(min=1, help="How many")] = 50,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show the newest events first."""
    whose = chosen_tenant(context, tenant, platform=platform)
    events = list(_newest(admin_api(url, key, data_dir, whose), _path(whose), limit))
    if as_json:
        OUT.print(json.dumps(events, indent=2), markup=False)
    else:
        show_events(events)


@app.command()
def verify(
    context: typer.Context,
    tenant: OneTenantOption = None,
    platform: PlatformOption = False,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="An export, its audit.jsonl, or a folder or files of the archive, in their order"
        ),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Recompute the hash chain from its first event to its head. Exit code 1 if it is broken, and where.

    With --file the file's chain is verified, offline. With --tenant as well, also the live one, compared with it.

    Compared, a history shows that was rewritten or cut together with its hashes and its head.
    """
    files = ChainFiles(file) if file else None
    offline = files is not None and tenant is None and not platform
    whose = None if offline else chosen_tenant(context, tenant, platform=platform)
    found: dict[str, Verified] = {}
    try:
        with ERR.status("Verifying …") if ERR.is_terminal else nullcontext():
            if files:
                found[files.name] = files.verify()
            if not offline:
                found[_name(whose)] = _verify_live(admin_api(url, key, data_dir, whose), whose, files, found)
    except BrokenChainError as error:
        if as_json:
            breach = {"seq": error.breach.seq, "reason": error.breach.reason}
            OUT.print(json.dumps({"whole": False, "where": error.where, "breach": breach}), markup=False)
        raise
    if as_json:
        chains = [{"where": name, **_as_json(chain)} for name, chain in found.items()]
        OUT.print(json.dumps({"whole": True, "chains": chains}), markup=False)
    else:
        for name, chain in found.items():
            _tell(name, chain)
        if files and not offline:
            OUT.print(Text.assemble(("✓", "green"), " every event of the file is there, as it was"))


def _verify_live(api: Api, whose: str | None, files: ChainFiles | None, found: dict[str, Verified]) -> Verified:
    try:
        tenant_id = TenantId(whose) if whose is not None else None
    except InvalidTenantIdError as error:
        raise CliError(str(error)) from error
    for name, chain in found.items():
        if chain.tenant_id != tenant_id:
            other = _name(str(chain.tenant_id) if chain.tenant_id else None)
            raise CliError(f"{name} is the chain of {other}, not of {_name(whose)}")
    return LiveChain(api, _path(whose), _name(whose), tenant_id).verify(files.events() if files else ())


def _newest(api: Api, path: str, limit: int) -> Iterator[dict[str, Any]]:
    before: int | None = None
    while limit > 0:
        query = {"limit": min(limit, _PAGE)} | ({"before": before} if before is not None else {})
        page = api.call("GET", f"{path}?{urlencode(query)}")
        yield from page["items"]
        limit -= len(page["items"])
        before = page["next"]
        if before is None:
            return


def _path(whose: str | None) -> str:
    return tenant_path(whose, "audit") if whose is not None else "/audit"


def _name(whose: str | None) -> str:
    return f"tenant {whose}" if whose is not None else "the platform"


def _tell(name: str, chain: Verified) -> None:
    since = f", from event {chain.first} on" if chain.first > 1 else ""
    count = f"{chain.events:,} event{'s' * (chain.events != 1)}"
    said = f" {printable(name)}: {count}, whole{since}, head {chain.head.hash[:12]}"
    OUT.print(Text.assemble(("✓", "green"), said))


def _as_json(chain: Verified) -> dict[str, Any]:
    return {
        "tenant_id": str(chain.tenant_id) if chain.tenant_id else None,
        "events": chain.events,
        "first": chain.first,
        "head": {"seq": chain.head.seq, "hash": chain.head.hash},
    }
