"""What a turn costs the orchestrator: CPU of its process per request and per paced token, with every step on.

    PYTHONPATH=src:tests python -m benchmarks.turns [--soak 20000] [--streams 500]

The engine is an imitation in a process of its own (a token every 10 ms a stream), the RAG service one in this process:
neither is counted. `--soak` sends so many more turns and shows what memory does; `--streams` opens so many paced
streams at once and shows the time between two tokens of one, beside the same for an eighth of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
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
PASSAGES = [a_passage(f"c{n}", f"olive oil number {n} costs {n} euros a litre. " * 12) for n in range(4)]


@dataclass(frozen=True)
class Turns:
    url: str
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
def running_turns() -> Iterator[Turns]:
    key = load_signing_key(generate_signing_key())
    with running_engine("--interval-ms=10") as (engine, _), running_rag([key.public_key()]) as (rag_url, rag):
        rag.passages = {T1: PASSAGES}
        environment = {
            "RAG_SERVICE_URL": rag_url,
            "VLLM_SERVICE_URL": engine,
            "SERVICE_VERIFY_KEYS": public_text(key),
            "LOG_LEVEL": "WARNING",
            "MAX_ANSWER_TOKENS": "4096",
        }

        port = free_port()
        environment |= {"ORCHESTRATOR_PORT": str(port)}
        process = subprocess.Popen([sys.executable, "-m", "app"], env={**os.environ, **environment})
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/healthz", 60)
            yield Turns(url, psutil.Process(process.pid), TokenSigner(key))
        finally:
            process.terminate()
            process.wait(30)


def body(tokens: int) -> bytes:
    request = TurnRequest(
        query=f"How much does a litre of olive oil cost? [1] tokens:{tokens}", locale="en-US", routes=BUILT_IN_ROUTES
    )
    return request.model_dump_json().encode()


async def arrivals(session: aiohttp.ClientSession, turns: Turns, tokens: int) -> AsyncIterator[float]:
    """When each piece of one answer came."""
    async with session.post(f"{turns.url}/v1/turns", data=body(tokens), headers=turns.headers()) as answer:
        answer.raise_for_status()
        last = b""
        async for chunk in answer.content.iter_any():
            last = chunk
            yield time.perf_counter()
    assert b'"event":"done"' in last, last


async def one(session: aiohttp.ClientSession, turns: Turns, tokens: int) -> float:
    came = [at async for at in arrivals(session, turns, tokens)]
    return came[0]


async def gaps(session: aiohttp.ClientSession, turns: Turns, streams: int) -> float:
    """The 99th percentile of the time between two pieces of one stream, in ms."""

    async def stream() -> list[float]:
        came = [at async for at in arrivals(session, turns, 200)]
        return [float(gap) for gap in np.diff(came[20:-3])]

    found = await asyncio.gather(*(stream() for _ in range(streams)))
    return float(np.percentile([gap for of_one in found for gap in of_one], 99)) * 1e3


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
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for part in range(11):
            await many(lambda: one(session, turns, 1), requests // 11, CONNECTIONS)
            marks.append(((part + 1) * (requests // 11), turns.process.memory_info().rss / 1e6))
    late = marks[3:]
    slope = statistics.linear_regression([at for at, _ in late], [rss for _, rss in late]).slope * 100_000
    told = ", ".join(f"{rss:.1f}" for _, rss in marks)
    print(f"RSS in MB over {requests} requests: {told}; slope of the last three quarters: {slope:+.1f} MB per 100,000")


async def many_streams(turns: Turns, streams: int) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for at_once in (streams // 8, streams):
            print(f"{at_once} streams at once: inter-token p99 {await gaps(session, turns, at_once):.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--streams", type=int, default=0)
    options = parser.parse_args()
    with running_turns() as turns:
        print(f"load {os.getloadavg()[0]:.1f}, orchestrator pid {turns.process.pid}", flush=True)
        asyncio.run(costs(turns))
        if options.streams:
            asyncio.run(many_streams(turns, options.streams))
        if options.soak:
            asyncio.run(soak(turns, options.soak))


if __name__ == "__main__":
    main()
