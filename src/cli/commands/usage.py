"""`atrium usage`: what a tenant used, and its invoice."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from cli.client.api import Api, tenant_path
from cli.client.locate import admin_api
from cli.commands.options import DataDirOption, JsonOption, KeyOption, UrlOption
from cli.console import ERR, OUT
from cli.errors import CliError
from cli.table import cell, plain_table

app = typer.Typer(help="Show what a tenant used, and its invoice.", add_completion=False)

TenantOption = Annotated[
    str | None, typer.Option("--tenant", "-t", envvar="ATRIUM_TENANT", help="The tenant's id", show_default=False)
]
_COUNTS = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens")
_HEADINGS = ("requests", "prompt", "cached", "completion", "USD")


@app.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
    tenant: TenantOption = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="2026-01-31; default: the month's")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Is meant as well; default: today")] = None,
    by: Annotated[str, typer.Option("--by", help="day, route, model, user; several with commas")] = "day",
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show what a tenant used: requests, tokens and cost of what is settled, by UTC day, route, model or user."""
    if context.invoked_subcommand is not None:
        return
    if as_json and as_csv:
        raise CliError("either --json or --csv, not both")
    whose = _named(tenant)
    api = admin_api(url, key, data_dir, whose)
    said = {"from": first, "to": last, "group_by": by, "format": "csv" if as_csv else "json"}
    query = urlencode({name: value for name, value in said.items() if value is not None})
    path = f"{tenant_path(whose, 'usage')}?{query}"
    if as_csv:
        _copy(api, path)
        return
    told = api.call("GET", path)
    if as_json:
        OUT.print(json.dumps(told), markup=False)
    else:
        _show(told["group_by"], told["rows"], told["total"], "cost_usd")


@app.command()
def invoice(
    tenant: TenantOption = None,
    month: Annotated[str | None, typer.Option("--month", metavar="MONTH", help="2026-01; default: this one")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show a month's amount by model and price version: a preview, until the month has been over for a day."""
    whose = _named(tenant)
    query = f"?{urlencode({'month': month})}" if month is not None else ""
    told = admin_api(url, key, data_dir, whose).call("GET", tenant_path(whose, "invoice") + query)
    if as_json:
        OUT.print(json.dumps(told), markup=False)
        return
    lines = [{**line, "price": f"v{line['price_version']}"} for line in told["lines"]]
    _show(["model", "price"], lines, told["total"], "amount_usd")
    ERR.print(f"{told['month']}: {told['state']}", markup=False)


def _named(tenant: str | None) -> str:
    if tenant is None:
        raise CliError("whose?", hint="--tenant T, or ATRIUM_TENANT")
    return tenant


def _copy(api: Api, path: str) -> None:
    """As it came: line ends and all."""
    with api.download(path) as pieces:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def _show(groups: list[str], rows: list[dict[str, Any]], total: dict[str, Any], money: str) -> None:
    table = plain_table(*groups, *_HEADINGS, fold=groups, numbers=_HEADINGS)
    for row in rows:
        table.add_row(*(cell(row[name]) for name in groups), *_numbers(row, money))
    blank = [cell("") for _ in groups[1:]]
    table.add_row(cell("total", "bold"), *blank, *_numbers(total, money))
    OUT.print(table)


def _numbers(row: dict[str, Any], money: str) -> list[Any]:
    return [*(cell(f"{row[name]:,}") for name in _COUNTS), cell(_usd(row[money]))]


def _usd(amount: float) -> str:
    """To the nano-USD, without zeros that say nothing, and at least the cents."""
    text = f"{Decimal(str(amount)):.9f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<2}"
