"""One tenant floods the engine, another sends one short request a second: what the second one feels, and what the first
one loses. Three ways to the same engine, side by side in one run: straight (first in, first out), straight with vLLM's
`priority`, and through Atrium. Then how four tenants of equal weight share, and two of weights 2 and 1.

    python -m benchmarks.fairness [--engine imitation|vllm] [--in-process] [--headroom 0,1,2,3]

`--engine imitation` is an imitation: 16 sequences, a queue, one speed shared by all; it has no prefill and no batch.
`--in-process` asks the router's own queue within this process instead of the whole stack: it tells what the order
costs and gains, not what Atrium costs. `--headroom` then tries several numbers of places that are kept free.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from app.adapters.sse import SseDecoder
from benchmarks.local_stack import Bench, running_engine, running_server, running_stack
from cli.engine.choice import Engine
from cli.engine.environment import EngineEnvironment
from cli.engine.server import EngineServer
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from router.service.engine_places import EnginePlaces, Place
from support.engine_model import jain
from tenancy.config import TenantConfig

SEQUENCES = 16
STREAMS = 120
ANSWER = 64
SHORT = 8
FLOOD = "Write a long story about a lighthouse keeper, a storm and a lost dog. tokens:64"
VICTIM = "What is the capital of France? tokens:8"
GENEROUS = {
    "rate_limit_per_minute": 1_000_000,
    "rate_limit_per_hour": 10_000_000,
    "tokens_per_minute": None,
    "max_concurrent_requests": None,
}


class RefusedError(Exception):
    """Come back later, said the router or the engine."""


@dataclass
class Meter:
    """What the clients have seen so far."""

    tokens: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def saw(self, tenant: str, prompt: int, completion: int) -> None:
        self.tokens[tenant] += prompt + completion
        self.answers[tenant] += completion


class Way(Protocol):
    """One way to the engine. `ask` returns the seconds to the first token."""

    name: str
    meter: Meter

    async def ask(self, tenant: str, prompt: str, max_tokens: int, *, weight: float = 1.0) -> float: ...


class Straight:
    """At the engine itself. `victim_first`: with vLLM's priority for everybody but the flood."""

    def __init__(self, session: aiohttp.ClientSession, engine: str, model: str, *, victim_first: bool = False) -> None:
        self.name = "priority alone" if victim_first else "FIFO"
        self.meter = Meter()
        self._session, self._engine, self._model, self._victim_first = session, engine, model, victim_first

    def _turn(self, _tenant: str, _weight: float) -> AbstractAsyncContextManager[Place | None]:
        return nullcontext()

    async def ask(self, tenant: str, prompt: str, max_tokens: int, *, weight: float = 1.0) -> float:
        body = {
            "model": self._model,
            "stream": True,
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "frequency_penalty": 0.3,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            "messages": [{"role": "user", "content": prompt}],
            "priority": -1 if self._victim_first and tenant == "victim" else 0,
        }
        began, first, seen = time.perf_counter(), 0.0, 0
        async with self._turn(tenant, weight) as place:
            async for event in _events(self._session, f"{self._engine}/v1/chat/completions", body, {}):
                if event == b"[DONE]":
                    break
                chunk = orjson.loads(event)
                usage = chunk["usage"]
                if not chunk["choices"] or usage["completion_tokens"] == seen:
                    continue
                first = first or time.perf_counter() - began
                self.meter.saw(tenant, 0 if seen else usage["prompt_tokens"], usage["completion_tokens"] - seen)
                seen = usage["completion_tokens"]
                if place is not None:
                    place.charge(usage["prompt_tokens"], seen)
        return first


class InProcess(Straight):
    """Behind the router's queue, in this process."""

    def __init__(self, session: aiohttp.ClientSession, engine: str, model: str, headroom: int | None) -> None:
        super().__init__(session, engine, model)
        self._places = EnginePlaces(NullMetrics(), headroom=headroom)
        self._places.resize("pooled", SEQUENCES)
        self.name = "Atrium's queue" if headroom is None else f"Atrium's queue, {headroom} kept free"

    def _turn(self, tenant: str, weight: float) -> AbstractAsyncContextManager[Place | None]:
        return self._places.place("pooled", TenantId(tenant), weight, time_left_s=600, expected_tokens=20)


class ThroughRouter:
    """As any client, at the router."""

    name = "Atrium"

    def __init__(self, session: aiohttp.ClientSession, bench: Bench) -> None:
        self.meter = Meter()
        self._session, self._bench = session, bench

    async def ask(self, tenant: str, prompt: str, max_tokens: int, *, weight: float = 1.0) -> float:
        """The length of answers is the stack's setting, the weight the tenant's: both are ignored here."""
        began, first, tokens = time.perf_counter(), 0.0, 0
        body = {"query": prompt, "stream": True}
        async for event in _events(self._session, f"{self._bench.router}/chat", body, {"x-tenant-id": tenant}):
            data = orjson.loads(event)
            if "text" in data:
                first = first or time.perf_counter() - began
                tokens += 1
                self.meter.saw(tenant, 0, 1)
            elif "completion_tokens" in data:
                self.meter.saw(tenant, data["prompt_tokens"], data["completion_tokens"] - tokens)
            elif "error" in data:
                raise RuntimeError(data["error"])
        return first


async def _events(
    session: aiohttp.ClientSession, url: str, body: object, headers: dict[str, str]
) -> AsyncIterator[bytes]:
    decoder = SseDecoder(1024 * 1024)
    async with session.post(url, json=body, headers=headers) as answer:
        if answer.status in {429, 503}:
            raise RefusedError(f"{answer.status} {(await answer.text())[:300]}")
        answer.raise_for_status()
        async for chunk in answer.content.iter_any():
            for event in decoder.feed(chunk):
                yield event


@asynccontextmanager
async def flooding(way: Way, tenant: str, streams: int, *, weight: float = 1.0) -> AsyncIterator[None]:
    """So many streams at any time, until this is left."""

    async def one() -> None:
        while True:
            try:
                await way.ask(tenant, FLOOD, ANSWER, weight=weight)
            except RefusedError as refused:
                way.meter.refused[str(refused)] += 1
                await asyncio.sleep(1)

    tasks = [asyncio.create_task(one()) for _ in range(streams)]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def victims(way: Way, count: int) -> list[float]:
    """One short request a second, whether or not the last one is answered."""

    async def one(number: int) -> float:
        await asyncio.sleep(number)
        return await way.ask("victim", VICTIM, SHORT)

    return sorted(await asyncio.gather(*(one(number) for number in range(count))))


@dataclass(frozen=True)
class Felt:
    """Seconds to the first token, and tokens of answers a second while the flood was on."""

    solo: list[float]
    flooded: list[float]
    tokens_per_s: float


async def measure(way: Way, options: argparse.Namespace) -> Felt:
    for _ in range(2):
        await way.ask("victim", VICTIM, SHORT)
    solo = await victims(way, options.victims)
    async with flooding(way, "flood", STREAMS):
        await asyncio.sleep(options.settle)
        before, began = way.meter.answers.total(), time.perf_counter()
        waiting = asyncio.create_task(victims(way, options.victims))
        await asyncio.sleep(options.victims)
        speed = (way.meter.answers.total() - before) / (time.perf_counter() - began)
        flooded = await waiting
    return Felt(solo, flooded, speed)


async def shares(way: Way, loads: dict[str, tuple[int, float]], options: argparse.Namespace) -> dict[str, float]:
    """Tokens of each tenant for its weight, of `loads`: streams and weight by tenant."""
    async with contextlib.AsyncExitStack() as stack:
        for tenant, (streams, weight) in loads.items():
            await stack.enter_async_context(flooding(way, tenant, streams, weight=weight))
        await asyncio.sleep(options.steady)
        before = Counter(way.meter.tokens)
        await asyncio.sleep(options.seconds)
        seen = way.meter.tokens - before
    return {tenant: seen[tenant] / weight for tenant, (_, weight) in loads.items()}


EQUAL = {"flood": (60, 1.0), "second": (30, 1.0), "third": (20, 1.0), "fourth": (20, 1.0)}
"""Four backlogged tenants of one weight; the first has three times the streams of the last, and gets nothing for it."""
DOUBLE = {"double": (40, 2.0), "single": (40, 1.0)}


async def run(options: argparse.Namespace, engine: str, model: str, bench: Bench | None) -> None:
    console = Console()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        ways: list[Way] = [
            Straight(session, engine, model),
            Straight(session, engine, model, victim_first=True),
            *_atrium(session, engine, model, bench, options.headroom),
        ]
        table = Table(
            "way", "solo p50 / p95", "flooded p50 / p95", "x solo p95", "tokens/s", "of FIFO", "Jain of 4", "2:1"
        )
        fifo: Felt | None = None
        for way in ways:
            felt = await measure(way, options)
            fifo = fifo or felt
            equal = jain((await shares(way, EQUAL, options)).values())
            double = await shares(way, DOUBLE, options)
            table.add_row(
                way.name,
                _percentiles(felt.solo),
                _percentiles(felt.flooded),
                f"{_p95(felt.flooded) / _p95(felt.solo):.1f}",
                f"{felt.tokens_per_s:.0f}",
                f"{felt.tokens_per_s / fifo.tokens_per_s:.1%}",
                f"{equal:.3f}",
                f"{2 * double['double'] / max(1, double['single']):.2f}",
            )
            console.print(f"{way.name}: measured; of the flood's requests {way.meter.refused.total()} were refused")
            for reason, _ in way.meter.refused.most_common(1):
                console.print(f"  {reason}")
    table.title = f"A victim behind {STREAMS} streams of another tenant ({_kind(options)})"
    console.print(table)


def _atrium(
    session: aiohttp.ClientSession, engine: str, model: str, bench: Bench | None, headroom: Sequence[int]
) -> list[Way]:
    if bench is not None:
        return [ThroughRouter(session, bench)]
    return [InProcess(session, engine, model, free) for free in headroom or (None,)]


def _kind(options: argparse.Namespace) -> str:
    return "real vLLM" if options.engine == "vllm" else "an IMITATION of an engine"


def _p95(values: list[float]) -> float:
    return values[min(len(values) - 1, round(0.95 * len(values)))]


def _percentiles(values: list[float]) -> str:
    return f"{statistics.median(values) * 1e3:.0f} / {_p95(values) * 1e3:.0f} ms"


@contextmanager
def engine_of(options: argparse.Namespace) -> Iterator[tuple[str, str, Bench | None]]:
    """The engine's address, its model's name, and the stack before it, unless the queue is asked in this process."""
    with ExitStack() as stack:
        if options.engine == "vllm":
            settings = {"ENGINE_MAX_SEQS": str(SEQUENCES)}
            server = EngineServer.of(EngineEnvironment.of(Engine.CPU, settings), settings)
            # What waits first in, first out, waits in the engine: it must take the whole flood.
            url, process = stack.enter_context(
                running_server(
                    lambda port: [*server.command(port), f"--max-num-queued-reqs={2 * STREAMS}"],
                    server.variables(),
                    within_s=300,
                )
            )
            model = server.name
        else:
            speed = (f"--max-seqs={SEQUENCES}", "--tokens-per-second=340", "--interval-ms=23")
            url, process = stack.enter_context(running_engine(*speed))
            model = "imitation"
        bench = None
        if not options.in_process:
            settings = {
                "ENGINE_MAX_SEQS": str(SEQUENCES),
                "ENGINE_PRIORITY": "true",
                "MAX_ANSWER_TOKENS": str(ANSWER),
                "FREQUENCY_PENALTY": "0.3",
            }
            bench = stack.enter_context(running_stack(url, process, settings))
            for tenant, weight in {"victim": 1.0, **{name: load[1] for name, load in (EQUAL | DOUBLE).items()}}.items():
                wanted = {**GENEROUS, "weight": weight}
                config = {name: value for name, value in wanted.items() if name in TenantConfig.model_fields}
                bench.call("POST", "/tenants", {"tenant_id": tenant, "config": config})
        yield url, model, bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("imitation", "vllm"), default="imitation")
    parser.add_argument("--in-process", action="store_true", help="the router's queue alone, in this process")
    parser.add_argument("--headroom", type=lambda text: [int(part) for part in text.split(",")], default=[])
    parser.add_argument("--victims", type=int, default=20, help="short requests, one a second")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds of flood before anything is measured")
    parser.add_argument(
        "--steady",
        type=float,
        default=40.0,
        help="seconds before shares are measured: whoever came first had all places, and that is paid back by then",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for which shares are measured")
    options = parser.parse_args()
    with engine_of(options) as (engine, model, bench):
        asyncio.run(run(options, engine, model, bench))


if __name__ == "__main__":
    main()
