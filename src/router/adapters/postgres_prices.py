"""The price list in PostgreSQL. A version is a few rows that are never changed: the service role has no right to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import PreconditionFailedError
from router.domain.pricing import FIRST_VERSION, Price, PriceList
from stores.patience import bounded
from stores.postgres import CALL_S, Database
from tenancy.audit import Actor, Deed
from tenancy.postgres_audit import append_event

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('atrium prices', 0))")
_LAST = text("SELECT coalesce(max(version), 0) FROM prices")
_LATEST = text(
    "SELECT version, model, prompt, cached, completion, valid_from, author FROM prices"
    " WHERE version = (SELECT max(version) FROM prices) ORDER BY model"
)
_VERSION = text(
    "SELECT version, model, prompt, cached, completion, valid_from, author FROM prices"
    " WHERE version = :version ORDER BY model"
)
_VERSIONS = text(
    "SELECT version, model, prompt, cached, completion, valid_from, author FROM prices"
    " WHERE version < :before AND version >= :before - :limit ORDER BY version DESC, model"
)
_INSERT = text(
    "INSERT INTO prices (version, model, prompt, cached, completion, valid_from, author)"
    " VALUES (:version, :model, :prompt, :cached, :completion, now(), :author)"
)


class PostgresPriceStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def latest(self) -> PriceList | None:
        async with self._database.platform() as connection:
            return _first(await connection.execute(_LATEST))

    @bounded(CALL_S, "postgres")
    async def version(self, version: int) -> PriceList | None:
        async with self._database.platform() as connection:
            return _first(await connection.execute(_VERSION, {"version": version}))

    @bounded(CALL_S, "postgres")
    async def versions(self, *, before: int | None, limit: int) -> Sequence[PriceList]:
        async with self._database.platform() as connection:
            if before is None:
                before = int((await connection.execute(_LAST)).scalar_one()) + 1
            return _lists(await connection.execute(_VERSIONS, {"before": before, "limit": limit}))

    @bounded(CALL_S, "postgres")
    async def seed(self, prices: Mapping[str, Price], author: str) -> PriceList:
        async with self._database.platform() as connection:
            await connection.execute(_LOCK)
            if not (await connection.execute(_LAST)).scalar_one():
                await _insert(connection, FIRST_VERSION, prices, author)
            return _lists(await connection.execute(_LATEST))[0]

    @bounded(CALL_S, "postgres")
    async def add(self, prices: Mapping[str, Price], *, by: Actor, expected: frozenset[int] | None = None) -> PriceList:
        async with self._database.platform() as connection:
            await connection.execute(_LOCK)
            last = int((await connection.execute(_LAST)).scalar_one())
            if expected is not None and last not in expected:
                raise PreconditionFailedError(
                    f"the price list is at version {last}: read it again", details={"current_version": last}
                )
            await _insert(connection, last + 1, prices, by.name)
            details = {"models": {model: [p.prompt, p.cached, p.completion] for model, p in prices.items()}}
            await append_event(connection, None, Deed(by, "prices.write", f"prices/{last + 1}", details=details))
            return _lists(await connection.execute(_LATEST))[0]


async def _insert(connection: AsyncConnection, version: int, prices: Mapping[str, Price], author: str) -> None:
    rows = [
        {
            "version": version,
            "model": model,
            "prompt": price.prompt,
            "cached": price.cached,
            "completion": price.completion,
            "author": author,
        }
        for model, price in prices.items()
    ]
    await connection.execute(_INSERT, rows)


def _first(rows: Iterable[Row[Any]]) -> PriceList | None:
    return next(iter(_lists(rows)), None)


def _lists(rows: Iterable[Row[Any]]) -> list[PriceList]:
    return [_list(version, list(group)) for version, group in groupby(rows, key=lambda row: int(row.version))]


def _list(version: int, rows: Sequence[Row[Any]]) -> PriceList:
    prices = {row.model: Price(row.prompt, row.cached, row.completion) for row in rows}
    return PriceList(version, prices, rows[0].valid_from, rows[0].author)
