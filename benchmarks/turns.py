"""What a turn costs the orchestrator: CPU of its process per request and per paced token, with every step on.

    PYTHONPATH=src:tests python -m benchmarks.turns [--streams 500] [--pace-ms 50] [--soak 20000]

The engine is an imitation in a process of its own (a token every 10 ms a stream), the RAG service one in this process:
neither is counted. The orchestrator has a core to itself, all else shares the others.

`--streams` opens so many streams at once, of a token every `--pace-ms` each (20 a second: what a real engine gives to
each of so many), and shows the time between two tokens of one, beside the same for an eighth of them and for as many at
the engine itself, without the orchestrator. `--soak` sends so many more turns and shows what memory does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
import numpy as np
import psutil

from benchmarks.hops import many
from benchmarks.local_stack import running_engine, wait_for
from contracts.chat import TurnRequest
from contracts.context import Audience
from contracts.routes import BUILT_IN_ROUTES
from servicekit.tokens import TokenSigner, generate_signing_key, load_signing_key, public_text, utc_now
from support.imitation_rag import running_rag
from support.server import free_port
from support.turns import T1, a_context, a_passage

REQUESTS, CONNECTIONS = 600, 8
STREAMS, TOKENS = 64, 201
RAMP_S, STREAM_TOKENS = 8.0, 400
"""Within which all streams are opened."""
PINNED: list[int] = []
"""The cores that there were before anything was pinned."""
PASSAGES = [a_passage(f"c{n}", f"olive oil number {n} costs {n} euros a litre. " * 12) for n in range(4)]


@dataclass(frozen=True)
class Turns:
    url: str
    engine: str
    process: psutil.Process
    signer: TokenSigner

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def headers(self) -> dict[str, str]:
        context = a_context(deadline=utc_now() + timedelta(seconds=300))
        return {
            "authorization": f"Bearer {self.signer.mint(Audience.ORCHESTRATOR, context)}",
            "x-atrium-rag-token": self.signer.mint(Audience.RAG, context),
            "content-type": "application/json",
        }


@contextmanager
def running_turns(pace_ms: float = 10.0) -> Iterator[Turns]:
    key = load_signing_key(generate_signing_key())
    with (
        running_engine(f"--interval-ms={pace_ms}") as (engine, engine_process),
        running_rag([key.public_key()]) as (rag_url, rag),
    ):
        rag.passages = {T1: PASSAGES}
        environment = {
            "RAG_SERVICE_URL": rag_url,
            "VLLM_SERVICE_URL": engine,
            "SERVICE_VERIFY_KEYS": public_text(key),
            "LOG_LEVEL": "WARNING",
        }
        port = free_port()
        environment |= {"ORCHESTRATOR_PORT": str(port)}
        process = subprocess.Popen([sys.executable, "-m", "app"], env={**os.environ, **environment})
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/healthz", 60)
            pin(process.pid, engine_process.pid)
            yield Turns(url, engine, psutil.Process(process.pid), TokenSigner(key))
        finally:
            process.terminate()
            process.wait(30)


def pin(orchestrator: int, *others: int) -> None:
    """A core for the orchestrator, the rest for this process and the others; nothing where there is but one."""
    first, *rest = sorted(PINNED or psutil.Process().cpu_affinity() or [0])
    if not rest:
        return
    PINNED[:] = [first, *rest]
    psutil.Process(orchestrator).cpu_affinity([first])
    for pid in (os.getpid(), *others):
        psutil.Process(pid).cpu_affinity(rest)


def body(tokens: int) -> bytes:
    request = TurnRequest(
        query=f"How much does a litre of olive oil cost? [1] tokens:{tokens}", locale="en-US", routes=BUILT_IN_ROUTES
    )
    return request.model_dump_json().encode()


async def arrivals(session: aiohttp.ClientSession, turns: Turns, tokens: int) -> AsyncIterator[float]:
    """When each piece of one answer came."""
    async with session.post(f"{turns.url}/v1/turns", data=body(tokens), headers=turns.headers()) as answer:
        answer.raise_for_status()
        said: list[bytes] = []
        async for chunk in answer.content.iter_any():
            said.append(chunk)
            yield time.perf_counter()
    end = b"".join(said[-3:])
    assert b'"event":"done"' in end, end
    assert b'"sources":[{' in end, "the prompt had no passages"


async def one(session: aiohttp.ClientSession, turns: Turns, tokens: int) -> float:
    came = [at async for at in arrivals(session, turns, tokens)]
    return came[0]


async def straight(session: aiohttp.ClientSession, turns: Turns, tokens: int) -> AsyncIterator[float]:
    """The same of the engine itself."""
    asked = {
        "model": "imitation",
        "stream": True,
        "max_tokens": tokens,
        "messages": [{"role": "user", "content": f"How much does a litre of olive oil cost? tokens:{tokens}"}],
    }
    async with session.post(f"{turns.engine}/v1/chat/completions", json=asked) as answer:
        answer.raise_for_status()
        async for _ in answer.content.iter_any():
            yield time.perf_counter()


Arrivals = Callable[[aiohttp.ClientSession, Turns, int], AsyncIterator[float]]


async def gaps(session: aiohttp.ClientSession, turns: Turns, streams: int, way: Arrivals = arrivals) -> list[float]:
    """The times between two pieces of one stream, in ms, of all streams; once all have begun, and until one ends."""

    async def stream() -> list[float]:
        await asyncio.sleep(random.random() * RAMP_S)  # people do not all ask at once
        return [at async for at in way(session, turns, STREAM_TOKENS)]

    came = await asyncio.gather(*(stream() for _ in range(streams)))
    since, until = max(times[0] for times in came) + 1.0, min(times[-3] for times in came)
    kept = [[at for at in times if since <= at <= until] for times in came]
    return [float(gap) * 1e3 for times in kept for gap in np.diff(times)]


async def costs(turns: Turns) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await many(lambda: one(session, turns, 1), 100, CONNECTIONS)  # warm
        began = turns.cpu_s()
        await many(lambda: one(session, turns, 1), REQUESTS, CONNECTIONS)
        asked = turns.cpu_s()
        await many(lambda: one(session, turns, 1), STREAMS, STREAMS)
        opened = turns.cpu_s()
        await many(lambda: one(session, turns, TOKENS), STREAMS, STREAMS)
        streamed = turns.cpu_s()
    token = (streamed - opened - (opened - asked)) / (STREAMS * (TOKENS - 1))
    print(f"{(asked - began) / REQUESTS * 1e3:.2f} ms of CPU a request, {token * 1e6:.0f} µs a paced token")


async def soak(turns: Turns, requests: int) -> None:
    marks: list[tuple[int, float]] = []
    print(f"RSS in MB over {requests} requests:", end="", flush=True)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for part in range(11):
            await many(lambda: one(session, turns, 1), requests // 11, CONNECTIONS)
            marks.append(((part + 1) * (requests // 11), turns.process.memory_info().rss / 1e6))
            print(f" {marks[-1][1]:.1f}", end="", flush=True)
    late = marks[3:]
    slope = statistics.linear_regression([at for at, _ in late], [rss for _, rss in late]).slope * 100_000
    print(f"; slope of the last three quarters: {slope:+.1f} MB per 100,000")


async def many_streams(turns: Turns, streams: int, pace_ms: float) -> None:
    ways: tuple[tuple[str, Arrivals], ...] = (("orchestrator", arrivals), ("engine alone", straight))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for name, way in ways:
            for at_once in (streams // 8, streams):
                began, cpu = time.perf_counter(), turns.cpu_s()
                found = await gaps(session, turns, at_once, way)
                busy = (turns.cpu_s() - cpu) / (time.perf_counter() - began)
                p50, p99 = np.percentile(found, (50, 99))
                print(
                    f"{name}: {at_once} streams of a token every {pace_ms:g} ms: between two tokens p50 {p50:.1f}, "
                    f"p99 {p99:.1f} ms; {busy:.0%} of the orchestrator's core",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--streams", type=int, default=0)
    parser.add_argument("--pace-ms", type=float, default=50.0)
    options = parser.parse_args()
    with running_turns() as turns:
        print(f"load {os.getloadavg()[0]:.1f}, orchestrator pid {turns.process.pid}", flush=True)
        asyncio.run(costs(turns))
    if options.streams:
        with running_turns(options.pace_ms) as turns:
            asyncio.run(many_streams(turns, options.streams, options.pace_ms))
    if options.soak:
        with running_turns() as turns:
            asyncio.run(soak(turns, options.soak))


if __name__ == "__main__":
    main()
