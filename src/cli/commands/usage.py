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
_NOT_OF_INVOICES = {"first": "--from", "last": "--to", "by": "--by", "as_csv": "--csv"}
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
        _refuse_own(context)
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
    context: typer.Context,
    tenant: TenantOption = None,
    month: Annotated[str | None, typer.Option("--month", metavar="MONTH", help="2026-01; default: this one")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show a month's amount by model and price version: a preview, until the month has been over for a day."""
    said = _with_those_before(context)  # of all its options but the month
    whose = _named(said["tenant"])
    query = f"?{urlencode({'month': month})}" if month is not None else ""
    api = admin_api(said["url"], said["key"], said["data_dir"], whose)
    told = api.call("GET", tenant_path(whose, "invoice") + query)
    if said["as_json"]:
        OUT.print(json.dumps(told), markup=False)
        return
    lines = [{**line, "price": f"v{line['price_version']}"} for line in told["lines"]]
    _show(["model", "price"], lines, told["total"], "amount_usd")
    ERR.print(f"{told['month']}: {told['state']}", markup=False)


def _refuse_own(context: typer.Context) -> None:
    """`atrium usage --by user invoice`: what an invoice has no use for is not passed over in silence."""
    for name, option in _NOT_OF_INVOICES.items():
        if _typed(context, name):
            raise CliError(f"{option} is no option of an invoice")


def _with_those_before(context: typer.Context) -> dict[str, Any]:
    """The options of `atrium usage -t T invoice` too: what was typed counts, wherever, more than the environment."""
    before = context.parent.params if context.parent is not None else {}
    return {
        name: before[name] if name in before and not _typed(context, name) else value
        for name, value in context.params.items()
    }


def _typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


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
