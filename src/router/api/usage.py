"""What a tenant used, and its invoice."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from contracts.errors import InvalidRequestError
from contracts.tenant import TenantId
from router.api.csv_answer import csv_answer
from router.api.dependencies import CallerDep, ServicesDep
from router.api.grouping import groups_of
from router.domain.billing import InvoiceLine, InvoiceState
from router.domain.pricing import usd, usd_per_mtok, usd_text
from router.service.usage import Report
from servicekit.problems import OPENAPI_ERRORS
from tenancy.usage import Counts, GroupBy

api = APIRouter(tags=["usage"], responses=OPENAPI_ERRORS)

From = Annotated[
    str | None,
    Query(alias="from", pattern=r"^\d{4}-\d{2}-\d{2}$", description="the first UTC day; default: of `to`'s month"),
]
To = Annotated[str | None, Query(pattern=r"^\d{4}-\d{2}-\d{2}$", description="the last UTC day; default: today")]
Groups = Annotated[str, Query(max_length=64, description="day, route, model, user; several with commas")]
Format = Annotated[Literal["json", "csv"] | None, Query(description="default: what `Accept` says, else JSON")]
Month = Annotated[str | None, Query(pattern=r"^\d{4}-\d{2}$", description="as 2026-01, UTC; default: the current one")]
Accept = Annotated[str, Header()]

_SUMS = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens")
_CSV = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


class UsageSums(BaseModel):
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float


class UsageItem(UsageSums):
    """Has those of day, route, model, user that were asked for."""

    day: date | None = None
    route: str | None = None
    model: str | None = None
    user: str | None = None


class UsageAnswer(BaseModel):
    """`cached_tokens` are among the `prompt_tokens`. Both `from` and `to` are among the days meant."""

    tenant_id: TenantId
    rows: list[UsageItem]
    total: UsageSums


class UnitPrice(BaseModel):
    prompt_usd_per_mtok: float
    cached_usd_per_mtok: float
    completion_usd_per_mtok: float


class InvoiceItem(BaseModel):
    model: str
    price_version: int
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    unit_price: UnitPrice | None
    amount_usd: float


class InvoiceTotal(BaseModel):
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    amount_usd: float


class InvoiceAnswer(BaseModel):
    """`final` once the month has been over for a day and nothing of it is open; until then a `preview`."""

    tenant_id: TenantId
    month: str
    currency: Literal["USD"] = "USD"
    state: InvoiceState
    lines: list[InvoiceItem]
    total: InvoiceTotal


@api.get("/tenant/{tenant_id}/usage", response_model=UsageAnswer, responses=_CSV)  # type: ignore[arg-type]
async def usage(
    caller: CallerDep,
    found: ServicesDep,
    first: From = None,
    to: To = None,
    group_by: Groups = "day",
    format: Format = None,  # noqa: A002  the parameter's public name
    accept: Accept = "",
) -> Response:
    """Requests, tokens and cost of what is settled, by the UTC day on which each request started. `from` and `to` are
    both meant; at most 400 days and 10,000 rows. As CSV there is no total."""
    groups = groups_of(group_by, tuple(GroupBy))
    report = await found.usage.report(caller.tenant_id, _day(first, "from"), _day(to, "to"), groups)
    if format == "csv" or (format is None and "text/csv" in accept):
        return _as_csv(caller.tenant_id, report)
    return JSONResponse(
        {
            "tenant_id": str(caller.tenant_id),
            "from": report.span.first.isoformat(),
            "to": report.span.last.isoformat(),
            "group_by": list(groups),
            "rows": [dict(zip(groups, row.group, strict=True)) | _sums(row.counts) for row in report.rows],
            "total": _sums(report.total),
        }
    )


@api.get("/tenant/{tenant_id}/invoice")
async def invoice(caller: CallerDep, found: ServicesDep, month: Month = None) -> InvoiceAnswer:
    """A month's amount by model and version of the price list."""
    made = await found.usage.invoice(caller.tenant_id, month)
    total = made.total
    return InvoiceAnswer(
        tenant_id=caller.tenant_id,
        month=made.month,
        state=made.state,
        lines=[_line(line) for line in made.lines],
        total=InvoiceTotal(**_tokens(total), amount_usd=usd(total.cost_nano_usd)),
    )


def _line(line: InvoiceLine) -> InvoiceItem:
    price = line.price and UnitPrice(
        prompt_usd_per_mtok=usd_per_mtok(line.price.prompt),
        cached_usd_per_mtok=usd_per_mtok(line.price.cached),
        completion_usd_per_mtok=usd_per_mtok(line.price.completion),
    )
    return InvoiceItem(
        model=line.model,
        price_version=line.price_version,
        **_tokens(line.counts),
        unit_price=price,
        amount_usd=usd(line.counts.cost_nano_usd),
    )


def _as_csv(tenant_id: TenantId, report: Report) -> Response:
    rows: list[list[str | int]] = [
        [*row.group, *_tokens(row.counts).values(), usd_text(row.counts.cost_nano_usd)] for row in report.rows
    ]
    name = f"usage-{tenant_id}-{report.span.first}-{report.span.last}.csv"
    return csv_answer([*report.group_by, *_SUMS, "cost_usd"], rows, name)


def _tokens(counts: Counts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in _SUMS}


def _sums(counts: Counts) -> dict[str, int | float]:
    return {**_tokens(counts), "cost_usd": usd(counts.cost_nano_usd)}


def _day(said: str | None, name: str) -> date | None:
    try:
        return date.fromisoformat(said) if said is not None else None
    except ValueError:
        raise InvalidRequestError(f"`{name}` is no day of the calendar") from None
