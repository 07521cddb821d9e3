"""Everything a tenant has, as one ZIP of JSON lines: sent while it is read, never held in memory or on disk."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

import orjson

from contracts.tenant import TenantId
from router.service.zip_stream import Lines, zip_stream

FORMAT = "atrium-export"
FORMAT_VERSION = 1
ROWS_BETWEEN_ASKING = 200
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_LINE = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_APPEND_NEWLINE
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
)


class ExportSource(Protocol):
    """One kind of thing that a tenant has."""

    @property
    def name(self) -> str:
        """The file is `<name>.jsonl`."""
        ...

    def rows(self, tenant_id: TenantId, born: datetime) -> AsyncIterator[Mapping[str, Any]]:
        """Every row once, read page by page: whoever iterates may be slow, so no transaction waits for it.

        Raises NotFoundError once the tenant made at `born` has the id no more, or is being deleted: half of what it
        had is no export. An async generator is closed when the export ends early.
        """
        ...


class TenantExport:
    """Raises ValueError for sources whose names are no file names, or not unique."""

    def __init__(self, sources: Sequence[ExportSource], now: Callable[[], datetime]) -> None:
        names = [source.name for source in sources]
        if len(set(names)) < len(names) or not all(map(_NAME.fullmatch, names)):
            raise ValueError(f"the sources of an export need names of their own, of a-z, 0-9, '_' and '-': {names}")
        self._sources = tuple(sources)
        self._now = now

    def stream(
        self, tenant_id: TenantId, born: datetime, still: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of the archive. Whoever stops reading calls `aclose()`.

        `still` is asked again and again, for whoever reads may be slow: it raises once the reader has lost the right.

        Whatever a source raises is raised here too, and so is TypeError for a row that JSON cannot hold: the
        connection is then to be broken off, as what was sent is no archive.
        """
        now = self._now()
        header = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "tenant_id": str(tenant_id),
            "exported_at": utc_text(now),
        }
        return zip_stream(self._files(tenant_id, born, still), header, now)

    async def _files(
        self, tenant_id: TenantId, born: datetime, still: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[tuple[str, Lines], None]:
        for source in self._sources:
            await still()
            yield f"{source.name}.jsonl", _lines(source.rows(tenant_id, born), still)
        await still()  # before the archive's end, without which it does not open


async def _lines(rows: AsyncIterator[Mapping[str, Any]], still: Callable[[], Awaitable[object]]) -> Lines:
    read = 0
    try:
        async for row in rows:
            read += 1
            if read % ROWS_BETWEEN_ASKING == 0:
                await still()
            yield orjson.dumps(row, default=_as_json, option=_LINE)
    finally:
        if isinstance(rows, AsyncGenerator):
            await rows.aclose()


def _as_json(value: object) -> str | dict[Any, Any]:
    """What orjson leaves to us. Its own text of a time keeps the offset that the time came with."""
    match value:
        case datetime():
            return utc_text(value)
        case date():
            return value.isoformat()
        case Decimal() | TenantId():
            return str(value)
        case Mapping():
            return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in an export")


def utc_text(time: datetime) -> str:
    """`2026-01-31T12:00:00Z`. Raises TypeError for a time without a zone: nobody knows when that is."""
    if time.tzinfo is None:
        raise TypeError("a time without a zone has no form in an export")
    return time.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
