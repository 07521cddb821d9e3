"""Changes told over a real Valkey: to every connection, until the server goes, and again when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from stores.valkey import Valkey
from support.postgres import running_valkey
from tenancy.announcements import ValkeyAnnouncements
from tenancy.live import Subject

T1, T2 = TenantId("t1"), TenantId("t2")
WITHIN_S = 20.0
SET = 'for n = 1, tonumber(ARGV[1]) do redis.call("SET", KEYS[1] .. ":" .. n, "1") end'


class Server:
    """A Valkey that the test starts and stops, at one address."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._running = ExitStack()
        self.url = ""

    def start(self) -> None:
        self.url = self._running.enter_context(running_valkey(self._data_dir)).url

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


class Replica:
    """A router's end of the feed: what it hears, in order."""

    def __init__(self, url: str) -> None:
        self._valkey = Valkey(url)
        self.announcements = ValkeyAnnouncements(self._valkey)
        self.heard: asyncio.Queue[Subject] = asyncio.Queue()
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Until its own announcements come back: subscribing takes a moment that nobody reports."""
        self.failed, self.heard = asyncio.get_running_loop().create_future(), asyncio.Queue()
        self._task = asyncio.create_task(self._listen())
        async with asyncio.timeout(WITHIN_S):
            while self.heard.empty():
                assert not self._task.done(), self._task
                await self.announcements.announce(T2)
                await asyncio.wait({self._task}, timeout=0.02)

    async def next(self) -> Subject:
        """The next that is not the sign by which `listen` knows that it hears."""
        async with asyncio.timeout(WITHIN_S):
            while (subject := await self.heard.get()) == T2:
                pass
            return subject

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._valkey.close()

    async def _listen(self) -> None:
        try:
            async with aclosing(self.announcements.announced()) as told:  # type: ignore[type-var]  it is a generator
                async for subject in told:
                    self.heard.put_nowait(subject)
        except DependencyDownError as error:
            self.failed.set_result(error)


@asynccontextmanager
async def replicas(url: str, count: int) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            found.append(Replica(url))
            stack.push_async_callback(found[-1].close)
        yield found


async def test_what_one_tells_all_hear_in_order(server: Server) -> None:
    async with replicas(server.url, 3) as (teller, *listeners):
        for listener in listeners:
            await listener.listen()
        for subject in (T1, None, T1):
            await teller.announcements.announce(subject)
        for listener in listeners:
            assert [await listener.next() for _ in range(3)] == [T1, None, T1]


async def test_somebody_elses_message_harms_nobody(server: Server) -> None:
    async with replicas(server.url, 1) as (replica,):
        await replica.listen()
        valkey = Valkey(server.url)
        for text in ("No Tenant", "\x00", "x" * 100_000, "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")):
            await valkey.tell_change(text)
        await valkey.close()
        await replica.announcements.announce(T1)
        assert await replica.next() == T1


async def test_a_server_that_goes_ends_the_listening_and_it_works_again_when_it_is_back(server: Server) -> None:
    async with replicas(server.url, 2) as (teller, listener):
        await listener.listen()
        server.stop()
        async with asyncio.timeout(WITHIN_S):
            assert isinstance(await listener.failed, DependencyDownError)
        with pytest.raises(DependencyDownError):
            await teller.announcements.announce(T1)
        with pytest.raises(DependencyDownError):
            await anext(aiter(listener.announcements.announced()))
        server.start()
        await listener.listen()
        await teller.announcements.announce(None)
        assert await listener.next() is None


async def eventually(ask: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1_000):
        if await ask():
            return
        await asyncio.sleep(WITHIN_S / 1_000)
    raise AssertionError("it never held")


async def test_a_server_that_hangs_ends_the_listening(server: Server) -> None:
    valkey = Valkey(server.url)
    client: Any = valkey._client

    async def pinged_twice() -> bool:
        stats = await client.info("commandstats")
        return "cmdstat_ping" in stats and stats["cmdstat_ping"]["calls"] >= 2

    process = psutil.Process((await client.info("server"))["process_id"])
    async with aclosing(valkey.told_changes(quiet_s=0.5)) as told:  # type: ignore[type-var]  it is a generator
        waiting = asyncio.create_task(anext(told))
        await eventually(pinged_twice)  # a server that has nothing to tell is no broken one
        assert not waiting.done()
        process.suspend()
        try:
            with pytest.raises(DependencyDownError):
                async with asyncio.timeout(WITHIN_S):
                    await waiting
        finally:
            process.resume()
    await valkey.close()


async def test_who_stops_listening_leaves_no_connection_behind(server: Server) -> None:
    async with replicas(server.url, 1) as (replica,):
        await replica.listen()
    watcher = Valkey(server.url)
    client: Any = watcher._client

    async def nobody_listens() -> bool:
        return await client.pubsub_numsub("atrium:changes") == [(b"atrium:changes", 0)]

    await eventually(nobody_listens)
    await watcher.close()


async def test_thousands_of_keys_of_a_tenant_are_forgotten_and_its_neighbours_keep_theirs(
    valkey_url: str, tmp_path: Path
) -> None:
    (tmp_path / "set.lua").write_text(SET)
    valkey = Valkey(valkey_url)
    put = valkey.script(tmp_path / "set.lua")
    gone, *neighbours = (TenantId(f"many{end}") for end in ("", "0", "-0", "s"))
    await put(gone, [("rate",)], [5_000])
    for neighbour in neighbours:
        await put(neighbour, [("rate",)], [10])
    assert await valkey.count_keys(gone) == 5_000
    assert await valkey.forget_tenant(gone) == 5_000
    assert await valkey.forget_tenant(gone) == 0
    assert await valkey.count_keys(gone) == 0
    assert [await valkey.forget_tenant(neighbour) for neighbour in neighbours] == [10] * 3
    await valkey.close()
