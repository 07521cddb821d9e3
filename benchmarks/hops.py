"""What each hop costs: CPU per request and per streamed token, from the process trees, and time to the first token
against the bare engine. `make bench`.

The engine is an imitation that sends a token every 10 ms on each stream, so the numbers are our own hops' and not a
model's. CPU per request comes from answers of one token, one after another on 8 connections; CPU per token is the
difference between 64 streams of 201 tokens and 64 streams of one.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from rich.console import Console
from rich.table import Table

from benchmarks.local_stack import Bench, running_bench

INTERVAL_MS = 10.0
REQUESTS, CONNECTIONS = 400, 8
STREAMS, TOKENS = 64, 201
TENANT = "bench"
GENEROUS = {"rate_limit_per_minute": 1_000_000, "rate_limit_per_hour": 10_000_000}
DOCUMENT = "# Olive oil\n\n" + "One litre of olive oil costs 8.90 euros at the Riverside shop. " * 40
_TOKEN, _CONTENT = re.compile(rb"event: token"), re.compile(rb'"content": ?"[^"]')
SERVICES = ("router", "orchestrator", "rag", "postgres", "valkey", "engine")
ON_THE_STREAM = ("router", "orchestrator", "engine")
"""The others see no token: what the difference shows for them is noise."""


@dataclass(frozen=True)
class Cost:
    request_ms: float
    token_us: float


async def through_router(session: aiohttp.ClientSession, bench: Bench, tokens: int) -> float:
    """One streamed chat; seconds to the first token."""
    body = {"query": f"What does olive oil cost? tokens:{tokens}", "stream": True}
    headers = {"x-tenant-id": TENANT}
    return await first_token(session, f"{bench.router}/chat", body, headers, marker=_TOKEN)


async def bare_engine(session: aiohttp.ClientSession, bench: Bench, tokens: int) -> float:
    body = {
        "model": "imitation",
        "stream": True,
        "max_tokens": tokens,
        "messages": [{"role": "user", "content": f"What does olive oil cost? tokens:{tokens}"}],
    }
    return await first_token(session, f"{bench.engine}/v1/chat/completions", body, {}, marker=_CONTENT)


async def first_token(
    session: aiohttp.ClientSession, url: str, body: object, headers: dict[str, str], *, marker: re.Pattern[bytes]
) -> float:
    began, first = time.perf_counter(), 0.0
    async with session.post(url, json=body, headers=headers) as answer:
        answer.raise_for_status()
        async for chunk in answer.content.iter_any():
            if not first and marker.search(chunk):
                first = time.perf_counter() - began
    return first


async def many(call: Callable[[], Awaitable[float]], total: int, at_once: int) -> list[float]:
    waiting = iter(range(total))

    async def worker() -> list[float]:
        return [await call() for _ in waiting]

    return [value for values in await asyncio.gather(*(worker() for _ in range(at_once))) for value in values]


async def measure(bench: Bench) -> tuple[dict[str, Cost], dict[str, float]]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await many(lambda: through_router(session, bench, 1), 40, CONNECTIONS)  # warm
        started = bench.cpu_seconds()
        ours = await many(lambda: through_router(session, bench, 1), REQUESTS, CONNECTIONS)
        requested = bench.cpu_seconds()
        await many(lambda: through_router(session, bench, 1), STREAMS, STREAMS)
        opened = bench.cpu_seconds()
        await many(lambda: through_router(session, bench, TOKENS), STREAMS, STREAMS)
        streamed = bench.cpu_seconds()
        alone = [await bare_engine(session, bench, 1) for _ in range(60)]
        through = [await through_router(session, bench, 1) for _ in range(60)]
    costs = {}
    for name in SERVICES:
        request = (requested[name] - started[name]) / REQUESTS
        token = (streamed[name] - opened[name] - (opened[name] - requested[name])) / (STREAMS * (TOKENS - 1))
        costs[name] = Cost(request * 1e3, token * 1e6 if name in ON_THE_STREAM else 0.0)
    latency = {
        "bare engine": statistics.median(alone) * 1e3,
        "through Atrium": statistics.median(through) * 1e3,
        f"through Atrium, {CONNECTIONS} at once": statistics.median(ours) * 1e3,
    }
    return costs, latency


def main() -> None:
    console = Console()
    with running_bench(interval_ms=INTERVAL_MS) as bench:
        bench.call("POST", "/tenants", {"tenant_id": TENANT, "config": GENEROUS})
        bench.call("POST", f"/tenant/{TENANT}/documents", {"title": "Prices", "text": DOCUMENT})
        costs, latency = asyncio.run(measure(bench))
    table = Table("hop", "CPU per request", "CPU per token", title="What each hop costs")
    for name, cost in costs.items():
        label = "engine (an imitation)" if name == "engine" else name
        table.add_row(label, f"{cost.request_ms:.2f} ms", f"{cost.token_us:.0f} µs" if cost.token_us else "")
    own = [cost for name, cost in costs.items() if name != "engine"]
    table.add_section()
    table.add_row("all of ours", f"{sum(c.request_ms for c in own):.2f} ms", f"{sum(c.token_us for c in own):.0f} µs")
    console.print(table)
    times = Table("path", "median", title="Time to the first token")
    for name, value in latency.items():
        times.add_row(name, f"{value:.1f} ms")
    console.print(times)


if __name__ == "__main__":
    main()
