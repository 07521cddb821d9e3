"""What one tenant's dearest prompts and answers under the dearest rules cost another tenant's requests in the same
router: its judging service, its guards and its threads, without HTTP and stores.

    PYTHONPATH=src:tests python -m benchmarks.noisy_rules [SECONDS [ROUNDS]]

The quiet tenant judges a prompt and reads an answer of 50 tokens, again and again, a token every 5 ms; what is measured
is how much later than that each token comes, the first behind the judging. Other work of the machine only adds to it:
so of several rounds the quietest is told, beside the median of all their 99th percentiles. A tenant sees the time
between two tokens, 20 to 50 ms of an engine's: the 99th percentile is told in parts of 20 ms too. The noisy one has
eight requests under way.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

from contracts.chat import DoneEvent, TokenEvent, TurnEvent
from guard.canonical import read_tables
from router.domain.policy import Policy
from router.main import SWITCH_S
from router.service.guarding import Guarding
from router.service.judging import Judge
from router.wiring.rules import JUDGING_THREADS
from servicekit.collector import keep_what_is_there
from servicekit.cpu_pool import CpuPool
from support.policies import a_policy

AT_ONCE = 8
EVERY_S, INTERVAL_S = 0.005, 0.02
RNG = random.Random(5)
LONGEST = 32_768


class Noise(NamedTuple):
    name: str
    config: dict[str, Any]
    prompt: Callable[[], str]
    answer: str = ""


def rules(kind: str, patterns: list[str], **more: Any) -> dict[str, Any]:
    return {"refusal_rules": [{"type": kind, "pattern": one, "reason": "r", **more} for one in patterns]}


def letters(count: int, alphabet: str = "abcdefghijklmnop") -> str:
    return "".join(RNG.choices(alphabet, k=count))


def nested_base64() -> str:
    text = letters(600)
    while len(text) < LONGEST * 3 // 4:
        text = base64.b64encode((text + letters(300)).encode()).decode()
    return text[:LONGEST]


def unread() -> str:
    marks = "".join(map(chr, range(0x300, 0x36F)))
    return "".join(letters(1) + letters(3, marks) for _ in range(LONGEST // 4))


def noises() -> Iterator[Noise]:
    many = [letters(RNG.randint(5, 12)) for _ in range(10_000)]
    some = rules("contains", many[:1_000])
    yield Noise("none", {}, lambda: "")
    yield Noise("10,000 literals", rules("contains", many), lambda: letters(LONGEST, "bcdfghjk "), letters(4_000))
    nested = rules("contains", ["a" * length + "b" for length in range(1, 64)])
    yield Noise("64 literals in one another", nested, lambda: "a" * LONGEST)
    plain = rules("regex", [rf"\b{letters(8)}\s*\d+" for _ in range(1_000)], stage="both")
    yield Noise("1,000 expressions", plain, lambda: letters(LONGEST), letters(4_000))
    dear = rules("regex", [f"[a-q].{{0,{600 + at}}}z[a-q]{{{at % 9 + 1}}}q{at}" for at in range(30)], stage="both")
    yield Noise("RE2 near its limits", dear, lambda: letters(LONGEST), letters(2_000))
    all_ = rules("regex", [f"[a-z]{{{at % 20 + 1}}}|q{at}" for at in range(100)], stage="both", action="redact")
    yield Noise("100 expressions that redact all", all_, lambda: letters(LONGEST // 4), letters(2_000))
    numbers, kinds = "202-555-0123 ", ["phone", "card"]
    yield Noise(
        "numbers redacted", {"redact": {"input": kinds, "output": kinds}}, lambda: numbers * 2_500, numbers * 200
    )
    yield Noise("base64 in base64", some, nested_base64)
    yield Noise("percents of percents", some, lambda: "%2525" * (LONGEST // 5))
    yield Noise("marks never seen before", rules("word", many[:1_000], stage="both"), unread, unread()[:4_000])
    alike = "\u0441\u043e\u0440 "
    yield Noise(
        "look-alikes everywhere", rules("contains", ["o", "c", "p"]), lambda: alike * (LONGEST // 4), alike * 500
    )


async def tokens(text: str, size: int = 4, every_s: float = 0) -> AsyncIterator[TurnEvent]:
    for at in range(0, len(text), size):
        await asyncio.sleep(every_s)
        yield TokenEvent(text[at : at + size], 1, 1)
    yield DoneEvent(finish_reason="stop")


class Router:
    def __init__(self) -> None:
        self.pool = CpuPool("judging", JUDGING_THREADS)
        self.judge, self.guarding = Judge(self.pool), Guarding(self.pool)

    async def answer(self, policy: Policy, prompt: str, events: AsyncIterator[TurnEvent]) -> AsyncIterator[TurnEvent]:
        await self.judge.refusal(policy.tenant_id, policy.rules, prompt)
        await self.judge.redacted(policy, prompt)
        async with self.guarding.output(policy, events) as told:
            async for event in told:
                yield event


async def noisy(router: Router, noise: Noise, policy: Policy, prompt: str, done: list[int]) -> None:
    while True:
        async for _ in router.answer(policy, prompt, tokens(noise.answer, every_s=EVERY_S)):
            pass
        done[0] += 1
        await asyncio.sleep(0)


class Late(NamedTuple):
    """Seconds after each token was due; of the first of an answer, with the judging of its prompt."""

    tokens: list[float]
    first: list[float]


async def quiet(router: Router, seconds: float) -> Late:
    policy = a_policy("quiet", **rules("contains", ["falcon", "eagle"], stage="both"))
    late = Late([], [])
    ends = time.monotonic() + seconds
    text = "The quick brown fox asks what olive oil costs. "
    while time.monotonic() < ends:
        began, told = time.monotonic(), late.first
        async for _ in router.answer(policy, text * 10, tokens(text * 5, 5, EVERY_S)):
            now = time.monotonic()
            told.append(now - began - EVERY_S)
            began, told = now, late.tokens
    return late


async def turns(told: list[float]) -> None:
    """Seconds of the process's CPU between two turns of a task that is always ready: whatever else the machine does.
    What other threads compute meanwhile is in it, whether they hold up the loop or not."""
    while True:
        await asyncio.sleep(EVERY_S)
        began = time.process_time()
        await asyncio.sleep(0)
        told.append(time.process_time() - began)


class Measured(NamedTuple):
    late: Late
    turns: list[float]
    done: int


async def measured(noise: Noise, seconds: float) -> Measured:
    router = Router()
    policy = a_policy("noisy", **noise.config)
    prompt, done, waited = noise.prompt(), [0], list[float]()
    at_once = AT_ONCE if noise.config else 0
    work = [asyncio.create_task(noisy(router, noise, policy, prompt, done)) for _ in range(at_once)]
    await asyncio.sleep(0.5)
    work.append(asyncio.create_task(turns(waited)))
    late = await quiet(router, seconds)
    for one in work:
        one.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    router.pool.close()
    return Measured(late, waited, done[0])


def tell(noise: Noise, rounds: list[Measured]) -> None:
    rounds = sorted(rounds, key=lambda one: _p99(one.late.tokens))
    best, middle = rounds[0], rounds[len(rounds) // 2]
    share = _p99(best.late.tokens) / INTERVAL_S
    print(
        f"{noise.name:32} a token late {_told(best.late.tokens)} (+{share:.1%} of {INTERVAL_S * 1e3:.0f} ms;"
        f" median p99 {_p99(middle.late.tokens) * 1e3:.1f})"
        f"  a first token {_told(best.late.first)}  a turn of the loop, CPU {_told(best.turns)};"
        f" {sum(one.done for one in rounds)} noisy",
        flush=True,
    )


def _told(seconds: list[float]) -> str:
    found = sorted(seconds)
    p50, p99 = (found[int(len(found) * share)] * 1e3 for share in (0.5, 0.99))
    return f"p50 {p50:6.2f} p99 {p99:6.2f} max {found[-1] * 1e3:6.1f} ms"


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def main(seconds: float, rounds: int) -> None:
    read_tables()
    keep_what_is_there()
    sys.setswitchinterval(float(os.environ.get("SWITCH_S", SWITCH_S)))
    kinds = list(noises())
    found: list[list[Measured]] = [[] for _ in kinds]
    for _ in range(rounds):
        for noise, told in zip(kinds, found, strict=True):
            told.append(asyncio.run(measured(noise, seconds)))
    for noise, told in zip(kinds, found, strict=True):
        tell(noise, told)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1, int(sys.argv[2]) if len(sys.argv) > 2 else 7)
