"""A tenant's export: what was read is in the archive, sums included; broken off, it opens nowhere; it holds little."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from router.service.export import TenantExport
from router.service.zip_stream import CHUNK_BYTES

T = TenantId("t1")
NOW = datetime(2026, 1, 31, 13, 30, tzinfo=timezone(timedelta(hours=1)))
Row = Mapping[str, Any]


class Source:
    """Yields `rows`; then, if asked to, fails, or waits for ever."""

    def __init__(
        self, name: str, rows: Iterable[Row], *, failure: Exception | None = None, hangs: bool = False
    ) -> None:
        self.name = name
        self.open = 0
        self.hanging = asyncio.Event()
        self._rows = rows
        self._failure = failure
        self._hangs = hangs

    async def rows(self, tenant_id: TenantId, born: datetime) -> AsyncIterator[Row]:
        assert (tenant_id, born) == (T, NOW)
        self.open += 1
        try:
            for row in self._rows:
                yield row
            if self._failure:
                raise self._failure
            if self._hangs:
                self.hanging.set()
                await asyncio.Event().wait()
        finally:
            self.open -= 1


def noise(count: int, size: int = 100) -> Iterable[Row]:
    """Rows that hardly compress, made one by one."""
    made = random.Random(0)
    return ({"number": number, "text": made.randbytes(size).hex()} for number in range(count))


async def still() -> None:
    """The reader may go on."""


def export(*sources: Source) -> TenantExport:
    return TenantExport(sources, lambda: NOW)


async def archive_of(*sources: Source) -> ZipFile:
    archive = ZipFile(io.BytesIO(b"".join([piece async for piece in export(*sources).stream(T, NOW, still)])))
    assert archive.testzip() is None
    return archive


async def receive(pieces: AsyncIterator[bytes], sent: list[bytes]) -> None:
    async for piece in pieces:
        sent.append(piece)  # noqa: PERF401  what came before an error is wanted too


def rows_in(archive: ZipFile, name: str) -> list[Any]:
    return [json.loads(line) for line in archive.read(name).splitlines()]


async def test_every_row_is_a_line_and_the_manifest_has_the_sums() -> None:
    with await archive_of(Source("documents", noise(3_000)), Source("keys", [{"id": 1}, {"id": 2}])) as archive:
        assert archive.namelist() == ["documents.jsonl", "keys.jsonl", "manifest.json"]
        assert rows_in(archive, "documents.jsonl") == list(noise(3_000))
        manifest = json.loads(archive.read("manifest.json"))
        files = manifest.pop("files")
        assert manifest == {
            "format": "atrium-export",
            "format_version": 1,
            "tenant_id": "t1",
            "exported_at": "2026-01-31T12:30:00Z",
        }
        assert set(files) == {"documents.jsonl", "keys.jsonl"}
        for name, about in files.items():
            data = archive.read(name)
            assert about == {
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
                "lines": data.count(b"\n"),
            }
        for entry in archive.infolist():
            assert entry.compress_type == ZIP_DEFLATED
            assert entry.date_time == (2026, 1, 31, 12, 30, 0)


async def test_a_source_without_rows_is_an_empty_file() -> None:
    with await archive_of(Source("keys", [])) as archive:
        assert archive.read("keys.jsonl") == b""
        about = json.loads(archive.read("manifest.json"))["files"]["keys.jsonl"]
        assert about == {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0, "lines": 0}


async def test_without_sources_there_is_the_manifest() -> None:
    with await archive_of() as archive:
        assert archive.namelist() == ["manifest.json"]


async def test_lines_are_utf_8_with_sorted_keys_and_one_line_each() -> None:
    with await archive_of(Source("rows", [{"ü": "Grüße\n\u2028 日本 🎈", "a": None, "Z": True}])) as archive:
        assert archive.read("rows.jsonl") == '{"Z":true,"a":null,"ü":"Grüße\\n\u2028 日本 🎈"}\n'.encode()


async def test_what_a_store_returns_has_a_form() -> None:
    row = {
        "day": date(2026, 1, 31),
        "id": uuid.UUID(int=1),
        "tenant": T,
        "time": datetime(2026, 1, 31, 12, 0, 0, 500, UTC).astimezone(timezone(timedelta(hours=-8))),
        "usd": Decimal("0.10"),
    }
    with await archive_of(Source("rows", [row])) as archive:
        assert rows_in(archive, "rows.jsonl") == [
            {
                "day": "2026-01-31",
                "id": "00000000-0000-0000-0000-000000000001",
                "tenant": "t1",
                "time": "2026-01-31T12:00:00.000500Z",
                "usd": "0.10",
            }
        ]


@pytest.mark.parametrize("value", [b"bytes", object(), datetime(2026, 1, 31), float])  # noqa: DTZ001  what is refused
async def test_what_has_no_form_breaks_the_export_off(value: object) -> None:
    source = Source("rows", [{"x": value}])
    with pytest.raises(TypeError):
        await archive_of(source)
    assert source.open == 0


@pytest.mark.parametrize("names", [["a", "a"], ["../a"], ["A"], [""], ["a/b"]])
def test_a_name_is_a_file_name_and_is_used_once(names: list[str]) -> None:
    with pytest.raises(ValueError, match="names"):
        export(*(Source(name, []) for name in names))


async def test_an_error_of_a_source_is_raised_and_what_was_sent_is_no_archive() -> None:
    first, second = Source("first", noise(10)), Source("second", noise(5_000), failure=ConnectionError("gone"))
    sent: list[bytes] = []
    with pytest.raises(ConnectionError, match="gone"):
        await receive(export(first, second).stream(T, NOW, still), sent)
    data = b"".join(sent)
    assert len(data) > CHUNK_BYTES
    with pytest.raises(BadZipFile):
        ZipFile(io.BytesIO(data))
    assert (first.open, second.open) == (0, 0)


async def test_who_stops_reading_closes_the_source() -> None:
    source, never = Source("rows", noise(50_000)), Source("later", [])
    stream = export(source, never).stream(T, NOW, still)
    assert await anext(stream)
    assert source.open == 1
    await stream.aclose()
    assert (source.open, never.open) == (0, 0)


async def test_a_reader_that_is_cancelled_closes_the_source() -> None:
    source = Source("rows", noise(1_000), hangs=True)
    reader = asyncio.create_task(archive_of(source))
    await source.hanging.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert source.open == 0


async def test_a_reader_that_is_cancelled_while_a_thread_compresses_closes_the_source() -> None:
    for turns in range(1, 30):
        source = Source("rows", noise(20_000))  # more chunks than turns of the loop: it cannot be done before
        reader = asyncio.create_task(archive_of(source))
        for _ in range(turns):
            await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert source.open == 0


async def test_fifty_thousand_rows_need_no_more_memory_than_a_few_chunks() -> None:
    sent = 0
    tracemalloc.start()
    try:
        async for piece in export(Source("rows", noise(50_000))).stream(T, NOW, still):
            sent += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent > 5_000_000
    assert peak < 2_000_000


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=5), max_size=20))
def test_rows_come_back_as_they_were(rows: list[Row]) -> None:
    async def round_trip() -> list[Any]:
        with await archive_of(Source("rows", rows)) as archive:
            return rows_in(archive, "rows.jsonl")

    assert asyncio.run(round_trip()) == rows


async def test_who_loses_the_right_meanwhile_gets_no_archive_that_opens() -> None:
    """The right is asked for between the sources, within a long one, and before the end."""
    asked = 0

    def sources() -> list[Source]:
        return [Source("first", noise(450, 5)), Source("second", noise(1, 5))]

    async def count() -> None:
        nonlocal asked
        asked += 1

    _ = [piece async for piece in export(*sources()).stream(T, NOW, count)]
    assert asked == 5
    for allowed in range(5):
        left = iter(range(allowed))

        async def lost(left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise NotFoundError("no such tenant")

        sent: list[bytes] = []
        read = sources()
        with pytest.raises(NotFoundError):
            await receive(export(*read).stream(T, NOW, lost), sent)
        with pytest.raises(BadZipFile):
            ZipFile(io.BytesIO(b"".join(sent)))
        assert [source.open for source in read] == [0, 0]
