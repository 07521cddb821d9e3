"""Usage, invoices and prices, as tenants and the platform see them, and `atrium usage`."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import secrets
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from contracts.tenant import TenantId
from support.command import run_atrium
from support.server import served
from support.stack import PLATFORM_KEY, Stack, another_router
from support.tenants import opened
from support.usage import an_event, so_far
from tenancy.postgres_ledger import PostgresLedger
from tenancy.usage import UsageEvent

JAN_1 = datetime(2026, 1, 1, 12, tzinfo=UTC)
YEAR = {"from": "2026-01-01", "to": "2026-12-31"}
Ask = Callable[..., Any]


def write(stack: Stack, *events: UsageEvent) -> None:
    async def written() -> None:
        async with opened(stack.database_url) as database:
            await PostgresLedger(database).write(events)

    asyncio.run(written())


@pytest.fixture
def tenant(stack: Stack) -> str:
    """With six requests on three days of January 2026."""
    tenant = TenantId(stack.new_tenant("usage"))
    write(
        stack,
        *(
            an_event(
                tenant,
                f"e{number}",
                started_at=JAN_1 + timedelta(days=number // 2),
                user_id=["u1", "=cmd|x"][number % 2],
                route=["GENERAL", "DIET"][number == 5],
                price_version=1 + (number > 3),
                cost_nano_usd=1_000 * (number + 1),
            )
            for number in range(6)
        ),
        so_far(tenant, "open", 99, started_at=JAN_1),
    )
    return str(tenant)


def ask(stack: Stack, path: str, *, key: str = PLATFORM_KEY, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} | options.pop("headers", {})
    return httpx.get(stack.router + path, headers=headers, timeout=30, **options)


def usage(stack: Stack, tenant: str, **params: str) -> Any:
    answer = ask(stack, f"/tenant/{tenant}/usage", params=YEAR | params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_usage_by_day_is_what_was_settled(stack: Stack, tenant: str) -> None:
    found = usage(stack, tenant)
    sums = {"requests": 2, "prompt_tokens": 20, "cached_tokens": 8, "completion_tokens": 10}
    assert found["rows"] == [
        {"day": "2026-01-01", **sums, "cost_usd": 0.000003},
        {"day": "2026-01-02", **sums, "cost_usd": 0.000007},
        {"day": "2026-01-03", **sums, "cost_usd": 0.000011},
    ]
    assert found["total"] == {name: 3 * value for name, value in sums.items()} | {"cost_usd": 0.000021}
    assert (found["from"], found["to"], found["group_by"]) == ("2026-01-01", "2026-12-31", ["day"])


def test_both_days_are_meant(stack: Stack, tenant: str) -> None:
    one = usage(stack, tenant, **{"from": "2026-01-02", "to": "2026-01-02"})
    assert [row["day"] for row in one["rows"]] == ["2026-01-02"]


def test_groups_come_in_the_order_that_was_asked(stack: Stack, tenant: str) -> None:
    found = usage(stack, tenant, group_by="user,route")["rows"]
    assert [(row["user"], row["route"], row["requests"]) for row in found] == [
        ("=cmd|x", "DIET", 1),
        ("=cmd|x", "GENERAL", 2),
        ("u1", "GENERAL", 3),
    ]
    assert [row["requests"] for row in usage(stack, tenant, group_by="day,route,model,user")["rows"]] == [1] * 6


@pytest.mark.parametrize(("params", "headers"), [({"format": "csv"}, {}), ({}, {"accept": "text/csv"})])
def test_csv_that_a_spreadsheet_does_not_run(
    stack: Stack, tenant: str, params: dict[str, str], headers: dict[str, str]
) -> None:
    answer = ask(stack, f"/tenant/{tenant}/usage", params={**YEAR, "group_by": "user", **params}, headers=headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="usage-{tenant}-2026-01-01-')
    assert list(csv.reader(io.StringIO(answer.text))) == [
        ["user", "requests", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd"],
        ["'=cmd|x", "3", "30", "12", "15", "0.000012000"],
        ["u1", "3", "30", "12", "15", "0.000009000"],
    ]


@pytest.mark.parametrize(
    "params",
    [
        {"from": "2026-01-02", "to": "2026-01-01"},
        {"from": "2024-01-01", "to": "2026-01-01"},
        {"from": "2026-02-30"},
        {"from": "yesterday"},
        {"to": "9999-12-31"},
        {"group_by": "tenant"},
        {"group_by": "day,day"},
        {"group_by": ""},
        {"format": "xml"},
    ],
)
def test_what_cannot_be_asked_is_422(stack: Stack, tenant: str, params: dict[str, str]) -> None:
    answer = ask(stack, f"/tenant/{tenant}/usage", params=params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_an_invoice_has_lines_by_model_and_price_version(stack: Stack, tenant: str) -> None:
    found = ask(stack, f"/tenant/{tenant}/invoice", params={"month": "2026-01"}).json()
    assert (found["month"], found["currency"], found["state"]) == ("2026-01", "USD", "preview")  # one event is open
    first, second = found["lines"]
    assert (first["model"], first["price_version"], first["requests"], first["amount_usd"]) == ("m1", 1, 4, 0.00001)
    price = {"prompt_usd_per_mtok": 0.1, "cached_usd_per_mtok": 0.1, "completion_usd_per_mtok": 0.4}
    assert first["unit_price"] == price
    assert (second["price_version"], second["completion_tokens"], second["amount_usd"]) == (2, 10, 0.000011)
    assert found["total"]["amount_usd"] == 0.000021
    write(stack, an_event(TenantId(tenant), "open", started_at=JAN_1, cost_nano_usd=0))
    done = ask(stack, f"/tenant/{tenant}/invoice", params={"month": "2026-01"}).json()
    assert (done["state"], done["total"]["requests"], done["total"]["amount_usd"]) == ("final", 7, 0.000021)
    now = ask(stack, f"/tenant/{tenant}/invoice").json()
    assert (now["month"], now["state"], now["lines"]) == (f"{datetime.now(UTC):%Y-%m}", "preview", [])
    for wrong in ("2026-13", "2026", "01-2026"):
        assert ask(stack, f"/tenant/{tenant}/invoice", params={"month": wrong}).status_code == 422


def test_usage_is_readable_while_the_tenant_is_suspended(stack: Stack, tenant: str) -> None:
    with stack.platform() as platform:
        made = platform.post(f"/tenant/{tenant}/keys", json={"label": "admin", "role": "tenant_admin"}).json()
        platform.post(f"/tenants/{tenant}/suspend").raise_for_status()
    for path in ("usage", "invoice"):
        assert ask(stack, f"/tenant/{tenant}/{path}", key=made["key"]).status_code == 200


def test_the_export_has_every_event(stack: Stack, tenant: str) -> None:
    answer = ask(stack, f"/tenant/{tenant}/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        rows = [json.loads(line) for line in archive.read("usage.jsonl").splitlines()]
    assert [row["event_id"] for row in rows] == [f"e{number}" for number in range(6)] + ["open"]
    assert {row["tenant_id"] for row in rows} == {tenant}
    assert (rows[0]["outcome"], rows[0]["cost_nano_usd"], rows[0]["started_at"]) == (
        "answered", 1_000, "2026-01-01T12:00:00Z",
    )  # fmt: skip
    assert (rows[-1]["outcome"], rows[-1]["settled_at"]) == (None, None)


def test_a_deleted_tenants_usage_goes_with_it(stack: Stack, tenant: str) -> None:
    with stack.platform() as platform:
        receipt = platform.delete(f"/tenants/{tenant}").json()
    assert receipt["removed"]["postgres.usage_events"] == 7
    assert set(receipt["left"].values()) == {0}


# --- prices -------------------------------------------------------------------------------------------------------

LIST = {"*": {"prompt_usd_per_mtok": 0.1, "completion_usd_per_mtok": 0.4}}


def test_a_new_price_list_is_in_force_on_every_router_within_seconds(stack: Stack, valkey_url: str) -> None:
    tenant = stack.new_tenant("prices")

    def cost(router: str) -> float:
        body = {"query": "hello"}
        answer = httpx.post(f"{router}/chat", json=body, headers={"x-tenant-id": tenant}, timeout=30).json()
        return answer["cost_usd_estimate"] / answer["usage"]["total_tokens"]  # type: ignore[no-any-return]

    with served(another_router(stack, valkey_url)) as other, stack.platform() as platform:
        before = platform.get("/prices").json()
        assert before["items"][0]["models"]["*"]["completion_usd_per_mtok"] == 0.4
        assert 1e-7 < cost(stack.router) < 4e-7
        tag = f'"{before["items"][0]["version"]}"'
        hundred = {"prompt_usd_per_mtok": 100, "completion_usd_per_mtok": 100, "cached_usd_per_mtok": 50}
        added = platform.post("/prices", json={"models": {"*": hundred}}, headers={"if-match": tag})
        assert added.status_code == 201, added.text
        assert (added.json()["version"], added.json()["models"]) == (before["items"][0]["version"] + 1, {"*": hundred})
        assert platform.post("/prices", json={"models": LIST}, headers={"if-match": tag}).status_code == 412
        assert cost(stack.router) == pytest.approx(1e-4)
        until = time.monotonic() + 5
        while cost(other) < 0.9e-4:
            assert time.monotonic() < until, "the other router still has the old list"
            time.sleep(0.05)
        platform.post("/prices", json={"models": LIST}).raise_for_status()
        page = platform.get("/prices", params={"limit": 2}).json()
        assert page["next"] == page["items"][-1]["version"]
        assert platform.get("/prices", params={"limit": 2, "before": page["next"]}).json()["items"]
        audit = platform.get("/audit").json()["items"]
        assert [event["action"] for event in audit[:2]] == ["prices.write"] * 2


@pytest.mark.parametrize(
    "models",
    [
        {},
        {"big": LIST["*"]},
        {"*": {"prompt_usd_per_mtok": 1}},
        {"*": LIST["*"] | {"prompt_usd_per_mtok": -1}},
        {"*": LIST["*"] | {"prompt_usd_per_mtok": 0.00001}},
        {"*": LIST["*"] | {"prompt_usd_per_mtok": "NaN"}},
        {"*": LIST["*"] | {"free": True}},
        {"*": LIST["*"], "": LIST["*"]},
        {"*": LIST["*"], "a\x00": LIST["*"]},
    ],
)
def test_what_is_no_price_list_is_422(stack: Stack, models: dict[str, Any]) -> None:
    with stack.platform() as platform:
        assert platform.post("/prices", json={"models": models}).status_code == 422


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def atrium(stack: Stack, tenant: str) -> Ask:
    def run(*arguments: str, code: int = 0) -> Any:
        environment = {"ATRIUM_URL": stack.router, "ATRIUM_KEY": PLATFORM_KEY, "ATRIUM_TENANT": tenant}
        done = run_atrium("usage", *arguments, **environment)
        assert done.code == code, done
        return done

    return run


def test_the_command_shows_a_table_with_its_total(atrium: Ask) -> None:
    done = atrium("--from", "2026-01-01", "--to", "2026-01-31", "--by", "route,user")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["route", "user", "requests", "prompt", "cached", "completion", "USD"]
    assert lines[1] == ["DIET", "=cmd|x", "1", "10", "4", "5", "0.000006"]
    assert lines[-1] == ["total", "6", "60", "24", "30", "0.000021"]


def test_the_command_for_programs(stack: Stack, tenant: str, atrium: Ask) -> None:
    span = ("--from", "2026-01-01", "--to", "2026-12-31")
    assert atrium(*span, "--json").json() == usage(stack, tenant)
    found = atrium(*span, "--by", "user", "--csv").out
    assert found == ask(stack, f"/tenant/{tenant}/usage", params={**YEAR, "group_by": "user", "format": "csv"}).text
    assert "either --json or --csv" in atrium("--json", "--csv", code=1).err
    assert "422 invalid_request" in atrium("--by", "colour", code=1).err
    assert "422 invalid_request" in atrium("--by", "colour", "--csv", code=1).err


def test_the_command_shows_an_invoice(stack: Stack, tenant: str, atrium: Ask) -> None:
    done = atrium("invoice", "--month", "2026-01")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["model", "price", "requests", "prompt", "cached", "completion", "USD"]
    assert lines[1] == ["m1", "v1", "4", "40", "16", "20", "0.00001"]
    assert lines[-1] == ["total", "6", "60", "24", "30", "0.000021"]
    assert "preview" in done.err
    answer = ask(stack, f"/tenant/{tenant}/invoice", params={"month": "2026-01"}).json()
    assert atrium("invoice", "--month", "2026-01", "--json").json() == answer
    assert "--tenant" in run_atrium("usage", ATRIUM_URL=stack.router, ATRIUM_KEY=PLATFORM_KEY).err


def test_what_is_said_before_the_invoice_is_meant_of_it(stack: Stack, tenant: str) -> None:
    """And what is typed, wherever, more than what the environment says."""
    environment = {"ATRIUM_URL": stack.router, "ATRIUM_KEY": PLATFORM_KEY}
    month = ("--month", "2026-01", "--json")
    told = run_atrium("usage", "-t", tenant, "invoice", *month, **environment).json()
    assert told == ask(stack, f"/tenant/{tenant}/invoice", params={"month": "2026-01"}).json()
    where = ("--url", stack.router, "--key", PLATFORM_KEY)
    before = ("-t", tenant, *where, "--json", "invoice", "--month", "2026-01")
    wrong = {"ATRIUM_TENANT": "nobody", "ATRIUM_URL": "http://127.0.0.1:9", "ATRIUM_KEY": "atr_wrong"}
    assert run_atrium("usage", *before, **wrong).json() == told
    assert run_atrium("usage", "-t", "nobody", "invoice", "-t", tenant, *month, **environment).json() == told
    done = run_atrium("usage", "-t", tenant, "--by", "user", "invoice", **environment)
    assert (done.code, "--by is no option of an invoice" in done.err) == (1, True)


def test_another_tenants_usage_is_not_there(stack: Stack, tenant: str) -> None:
    other = f"other-{secrets.token_hex(4)}"
    with stack.platform() as platform:
        key = platform.post("/tenants", json={"tenant_id": other}).json()["admin_key"]
    done = run_atrium("usage", "--tenant", tenant, ATRIUM_URL=stack.router, ATRIUM_KEY=key)
    assert (done.code, "403 tenant_mismatch" in done.err) == (1, True)
    assert (
        run_atrium("usage", "--tenant", other, "--json", ATRIUM_URL=stack.router, ATRIUM_KEY=key).json()["rows"] == []
    )
