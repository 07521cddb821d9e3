"""Conversations over two or more real CPU vLLMs: Atrium's choice of replica against round robin, by their own counters.

Each conversation has turns that repeat all that was said in it, as every chat does; the one that has waited for
longest has the next, as with people who think for about as long, or, with `--chance`, any. Their number is odd: with an
even one, round robin would give each the same replica each time. Both use the orchestrator's own client in this
process; each way's conversations have salts of their own, so that none finds what another way left. With `--blocks` the
replicas' KV caches hold so many blocks of 128 tokens; without, whatever fits into `VLLM_CPU_KVCACHE_SPACE`.

Then a prefix that two tenants share, with a salt for each and without: what `CACHE_UNSALTED_POOLS` gives and takes.

    PYTHONPATH=src:tests python -m benchmarks.pools [--conversations 33] [--turns 3] [--at-once 4] [--blocks 64]
        [--replicas 2]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
from rich.console import Console
from rich.table import Table

from app.adapters.engine_http import EngineHttp, Sampling
from app.adapters.engine_link import EngineLink, open_engine_session
from app.adapters.engine_pools import EnginePools
from app.adapters.replica import Replica
from app.adapters.replicas import Replicas
from app.ports import Message
from benchmarks.local_stack import running_server
from cli.engine.choice import Engine
from cli.engine.environment import EngineEnvironment
from cli.engine.model import NAME
from cli.engine.server import EngineServer
from contracts.context import Role, TenantContext
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from servicekit.tokens import utc_now

WORDS = (
    *("river", "stone", "lantern", "harbour", "violin", "copper", "meadow", "winter"),
    *("signal", "orchard", "ladder", "thunder", "velvet", "compass"),
)
WORDS_A_TURN = 60
ANSWER = 24
SEQUENCES = 16
_COUNTER = re.compile(rb"^vllm:prefix_cache_(hits|queries)_total(?:\{[^}\n]*\})? ([0-9.eE+-]+)", re.MULTILINE)


class RoundRobin(Replicas):
    """In turn, whoever asks."""

    turn = 0

    def choose(
        self, context: TenantContext, *, model: str | None = None, tried: Collection[str] = ()
    ) -> Replica | None:
        if tried:
            return None
        replicas = self.pools()[context.model_pool]
        self.turn += 1
        return replicas[self.turn % len(replicas)]


@dataclass
class Conversation:
    """`opening`: the words of what it is about, said at once; each turn adds `WORDS_A_TURN`."""

    number: int
    opening: int
    messages: list[Message] = field(default_factory=list)
    turn: int = 0

    def ask(self) -> None:
        chance = random.Random(f"{self.number}/{self.turn}")
        words = " ".join(chance.choice(WORDS) for _ in range(WORDS_A_TURN + (0 if self.turn else self.opening)))
        self.messages.append({"role": "user", "content": f"Conversation {self.number}. Continue this: {words}"})
        self.turn += 1


@dataclass
class Seen:
    name: str
    hits: float = 0.0
    queries: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    first_token_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    load: Counter[str] = field(default_factory=Counter)
    """Requests under way, summed over the moments in which a first token came."""
    peak: float = 0.0
    """The most that a replica had of the mean, while there were two for each."""


async def counters(link: EngineLink, urls: Sequence[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for url in urls:
        for name, value in _COUNTER.findall(await link.text(f"{url}/metrics", 10) or b""):
            found[name.decode()] += float(value)  # type: ignore[assignment]
    return found


async def converse(
    name: str, replicas: Replicas, link: EngineLink, urls: Sequence[str], model: str, options: argparse.Namespace
) -> Seen:
    seen = Seen(name)
    engine = EngineHttp(
        link, replicas, Sampling(model, ANSWER, 0.0, extensions=True), metrics=NullMetrics(), hang_s=3_600
    )
    polling = asyncio.create_task(EnginePools(link, replicas, max_seqs=SEQUENCES, metrics=NullMetrics()).run())
    waiting = [Conversation(number, options.opening) for number in range(options.conversations)]
    before, began = await counters(link, urls), time.perf_counter()
    chance = random.Random("who is next")

    async def worker() -> None:
        while waiting:
            conversation = waiting.pop(chance.randrange(len(waiting)) if options.chance else 0)
            await turn(engine, replicas, conversation, name, seen)
            if conversation.turn < options.turns:
                waiting.append(conversation)

    await asyncio.gather(*(worker() for _ in range(options.at_once)))
    seen.seconds = time.perf_counter() - began
    after = await counters(link, urls)
    seen.hits, seen.queries = after["hits"] - before["hits"], after["queries"] - before["queries"]
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    return seen


async def turn(engine: EngineHttp, replicas: Replicas, conversation: Conversation, way: str, seen: Seen) -> None:
    conversation.ask()
    context = a_context(
        f"t{conversation.number % 4}", f"c{conversation.number}", salt=f"{way}-{conversation.number % 4}"
    )
    began, said = time.perf_counter(), ""
    async with engine.generate(context, conversation.messages) as generation:
        async for delta in generation:
            if not said:
                replica = generation._replica  # the bench alone looks inside
                seen.first_token_s.append(time.perf_counter() - began)
                seen.requests[replica.url] += 1
                busy = {one.url: one.in_flight for one in replicas.pools()["pooled"]}
                seen.load.update(busy)
                if sum(busy.values()) >= 2 * len(busy):
                    seen.peak = max(seen.peak, over_mean(busy))
            said += delta.text
    conversation.messages.append({"role": "assistant", "content": said})


def over_mean(loads: Mapping[str, int]) -> float:
    return max(loads.values()) * len(loads) / sum(loads.values())


async def shared_prefix(
    link: EngineLink, urls: Sequence[str], model: str, salts: tuple[str, str]
) -> tuple[float, float]:
    """Hits of a second tenant's prompt that begins as a first one's did, and the seconds to its first token."""
    replicas = Replicas({"pooled": urls[:1]})
    engine = EngineHttp(link, replicas, Sampling(model, 4, 0.0, extensions=True), metrics=NullMetrics())
    prefix = f"{salts} " + " ".join(random.Random("prefix").choice(WORDS) for _ in range(400))
    hits, first = 0.0, 0.0
    for tenant, salt in zip(("a", "b"), salts, strict=True):
        before, began = await counters(link, urls), time.perf_counter()
        messages: list[Message] = [
            {"role": "system", "content": prefix},
            {"role": "user", "content": f"I am {tenant}."},
        ]
        async with engine.generate(a_context(tenant, "s", salt=salt), messages) as generation:
            await anext(aiter(generation))
            first = time.perf_counter() - began
            async for _ in generation:
                pass
        hits = (await counters(link, urls))["hits"] - before["hits"]
    return hits, first


def a_context(tenant: str, session: str, *, salt: str) -> TenantContext:
    return TenantContext(
        tenant_id=TenantId(tenant),
        user_id="bench",
        roles=(Role.TENANT_USER,),
        session_id=session,
        request_id="bench",
        config_version=1,
        deadline=utc_now() + timedelta(hours=3),
        cache_salt=salt,
    )


async def run(urls: Sequence[str], model: str, options: argparse.Namespace) -> None:
    console = Console()
    async with open_engine_session() as session:
        link = EngineLink(session, None)
        await _warm(session, urls, model)
        ways: list[tuple[str, Replicas]] = [
            ("round robin", RoundRobin({"pooled": urls})),
            ("Atrium", Replicas({"pooled": urls})),
        ]
        results = [await converse(name, replicas, link, urls, model, options) for name, replicas in ways]
        table = Table(
            "way",
            "hits",
            "of tokens asked",
            "x",
            "requests over the mean",
            "load over the mean, whole run / worst moment",
            "first token p50",
            "s",
        )
        for seen in results:
            table.add_row(
                seen.name,
                f"{seen.hits:.0f}",
                f"{seen.hits / max(1, seen.queries):.1%}",
                f"{seen.hits / max(1, results[0].hits):.2f}",
                f"{over_mean(seen.requests):.2f}",
                f"{over_mean(seen.load):.2f} / {seen.peak:.2f}",
                f"{statistics.median(seen.first_token_s) * 1e3:.0f} ms",
                f"{seen.seconds:.0f}",
            )
        table.title = f"{options.conversations} conversations of {options.turns} turns, {options.at_once} at once"
        console.print(table)
        for what, salts in (("a salt for each tenant", ("a", "b")), ("no salt", ("", ""))):
            hits, first = await shared_prefix(link, urls, model, salts)
            console.print(f"{what}: {hits:.0f} hits of the second tenant, first token after {first * 1e3:.0f} ms")


async def _warm(session: aiohttp.ClientSession, urls: Sequence[str], model: str) -> None:
    for url in urls:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
        async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
            await answer.read()


@contextmanager
def engines(options: argparse.Namespace) -> Iterator[tuple[list[str], str]]:
    """One after the other, unless they run already."""
    if options.engines:
        yield options.engines.split(","), options.model
        return
    settings = {"ENGINE_MAX_SEQS": str(SEQUENCES)}
    server = EngineServer.of(EngineEnvironment.of(Engine.CPU, settings), settings)
    limit = [f"--num-gpu-blocks-override={options.blocks}"] if options.blocks else []
    cores = os.cpu_count() or 2
    each = max(1, cores // options.replicas)
    with ExitStack() as stack:
        urls = []
        for number in range(options.replicas):
            # Each on its own share of the cores: threads that wait for each other on a busy core wait for ever. Where
            # there are more replicas than cores, each has one thread.
            own = ",".join(str((number * each + core) % cores) for core in range(each))
            variables = {**server.variables(), "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": own}
            urls.append(
                stack.enter_context(
                    running_server(lambda port: [*server.command(port), *limit], variables, within_s=600)
                )[0]
            )
        yield urls, server.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=25)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--opening", type=int, default=450, help="words of a document that a conversation begins with")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--chance", action="store_true", help="who has the next turn is left to chance")
    parser.add_argument("--blocks", type=int, help="of 128 tokens, that a replica's KV cache holds")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--engines", help="addresses of some that run already, with commas between them")
    parser.add_argument("--model", default=NAME, help="that those serve")
    options = parser.parse_args()
    with engines(options) as (urls, model):
        asyncio.run(run(urls, model, options))


if __name__ == "__main__":
    main()
