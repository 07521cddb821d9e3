"""What a request feels of sinks that never answer: `python -m benchmarks.blackholes [ROUNDS]`.

Two stacks in front of one imitation of an engine: one tells nobody anything; the other tells CloudWatch, CloudWatch
Logs, an OpenTelemetry collector (of every request) and LangSmith, all of which take connections and say nothing. They
are asked in turns, round by round, so that what else the machine does falls on both. The goal is a p99 within 5 %.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack

import aiohttp
from rich.console import Console
from rich.table import Table

from benchmarks.hops import GENEROUS, TENANT, first_token, many
from benchmarks.local_stack import Bench, running_engine, running_stack
from support.blackhole import blackhole

ROUNDS, REQUESTS, CONNECTIONS, TOKENS = 40, 50, 4, 20
INTERVAL_MS = 10.0
RESAMPLES = 1_000
_MARK = re.compile(rb"event: done")
_DROPPED = re.compile(r"^atrium_telemetry_dropped_total\{.*\} (\S+)$", re.MULTILINE)


def deaf(url: str) -> dict[str, str]:
    """The settings of a stack that tells everybody, all of whom are at `url`."""
    return {
        "METRICS_SINK": "cloudwatch",
        "METRICS_INTERVAL_S": "5",
        "LOGS_SINK": "cloudwatch",
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_TRACES_SAMPLER_ARG": "1.0",
        "LANGSMITH_API_KEY": "bench",
        "LANGSMITH_ENDPOINT": url,
    }


async def a_round(bench: Bench) -> list[float]:
    """Milliseconds until the end of each answer."""
    body = {"query": f"What does olive oil cost? tokens:{TOKENS}", "stream": True}
    url, headers = f"{bench.router}/chat", {"x-tenant-id": TENANT}
    async with aiohttp.ClientSession() as session:

        async def ask() -> float:
            return 1e3 * await first_token(session, url, body, headers, marker=_MARK)

        return await many(ask, REQUESTS, CONNECTIONS)


def share(values: Sequence[float], of: float) -> float:
    return sorted(values)[min(len(values) - 1, int(of * len(values)))]


def ratio_of_p99(quiet: Sequence[Sequence[float]], deaf_ones: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Of all rounds, and between which two values it lies in nine of ten draws of as many rounds."""

    def ratio(rounds: Sequence[int]) -> float:
        one, other = ([value for at in rounds for value in side[at]] for side in (quiet, deaf_ones))
        return share(other, 0.99) / share(one, 0.99)

    numbers = range(len(quiet))
    drawn = sorted(ratio(random.choices(numbers, k=len(quiet))) for _ in range(RESAMPLES))
    return ratio(numbers), share(drawn, 0.05), share(drawn, 0.95)


def dropped(bench: Bench) -> float:
    with urllib.request.urlopen(f"{bench.router}/metrics") as answer:  # noqa: S310  our own loopback address
        text = answer.read().decode()
    return sum(
        float(number) for number in re.findall(r"^atrium_telemetry_dropped_total\{.*\} (\S+)$", text, re.MULTILINE)
    )


def megabytes(bench: Bench) -> float:
    return sum(bench.processes[name].memory_info().rss for name in ("router", "orchestrator", "rag")) / 1e6


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with ExitStack() as stack:
        url = stack.enter_context(blackhole())
        engine, process = stack.enter_context(running_engine(f"--interval-ms={INTERVAL_MS}"))
        benches = [stack.enter_context(running_stack(engine, process, settings)) for settings in ({}, deaf(url))]
        for bench in benches:
            bench.call("POST", "/tenants", {"tenant_id": TENANT, "config": GENEROUS})
            asyncio.run(a_round(bench))  # warm
        began = time.monotonic()
        times: tuple[list[list[float]], list[list[float]]] = ([], [])
        for number in range(rounds):
            for side in (0, 1) if number % 2 else (1, 0):
                times[side].append(asyncio.run(a_round(benches[side])))
        table = Table("sinks", "p50", "p99", "memory of the three", "dropped by the router", title="Whole answers")
        for label, bench, found in zip(("none", "all deaf"), benches, times, strict=True):
            every = [value for values in found for value in values]
            fields = f"{statistics.median(every):.1f} ms", f"{share(every, 0.99):.1f} ms"
            table.add_row(label, *fields, f"{megabytes(bench):.0f} MB", f"{dropped(bench):.0f}")
        console = Console()
        console.print(table)
        whole, low, high = ratio_of_p99(*times)
        console.print(f"p99, deaf over none: {whole:.3f} (nine of ten draws of the rounds: {low:.3f} to {high:.3f})")
        console.print(f"{rounds} rounds of {REQUESTS} requests each, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
