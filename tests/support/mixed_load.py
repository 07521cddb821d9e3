"""Many clients at once that do what clients do: read to the end, leave midway, ask for what fails, be refused."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

REFUSED = "refuse me"
FAILURES = ("die", "cut", "garbage", "nonsense", "error-event", "http500", "http503")
KINDS = {"whole": 4, "stream": 6, "long": 3, "leave": 5, "leave early": 2, "stall": 1, "fail": 4, "refused": 1}
"""How often each is asked for."""


@dataclass(slots=True)
class Sent:
    """A request as its client knows it. Times are `time.monotonic`'s."""

    request_id: str
    tenant: str
    router: int
    kind: str
    began: float
    ended: float = 0.0
    status: int = 0
    """0: there was no answer."""
    tokens: int = 0
    """That came, of a stream."""
    finished: bool = False
    """Its last word came: a whole answer, `done`, `refusal`, an error."""


@dataclass
class MixedLoad:
    """`workers` clients, each with one request at a time, in a thread of its own between `start` and `stop`."""

    routers: Sequence[str]
    tenants: Sequence[str]
    workers: int
    seed: int
    sent: list[Sent] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No further requests; returns when all that are under way have ended."""
        self._ended.set()
        assert self._thread is not None
        self._thread.join(60)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        limit = aiohttp.ClientTimeout(total=30)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(timeout=limit, connector=connector) as session:
            await asyncio.gather(*(self._worker(session, number) for number in range(self.workers)))

    async def _worker(self, session: aiohttp.ClientSession, number: int) -> None:
        dice = random.Random(f"{self.seed}/{number}")
        while not self._ended.is_set():
            (kind,) = dice.choices(list(KINDS), list(KINDS.values()))
            sent = Sent(f"r{len(self.sent)}", dice.choice(self.tenants), dice.randrange(len(self.routers)), kind, 0.0)
            self.sent.append(sent)
            sent.began = time.monotonic()
            try:
                await self._ask(session, sent, dice)
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            finally:
                sent.ended = time.monotonic()
            await asyncio.sleep(dice.uniform(0, 0.05) if sent.status in {200, 502} else 0.1)

    async def _ask(self, session: aiohttp.ClientSession, sent: Sent, dice: random.Random) -> None:
        body = {"query": _query(sent.kind, dice), "stream": sent.kind != "whole", "user_id": f"u{dice.randrange(5)}"}
        headers = {"x-tenant-id": sent.tenant, "x-request-id": sent.request_id}
        asking = session.post(f"{self.routers[sent.router]}/chat", json=body, headers=headers)
        if sent.kind == "leave early":
            async with asyncio.timeout(dice.uniform(0, 0.05)):
                await (await asking).read()
            return
        leaves_after = {"leave": dice.randint(1, 60), "stall": 3}.get(sent.kind, 10_000)
        async with asking as answer:
            sent.status = answer.status
            async for line in answer.content:
                sent.tokens += line == b"event: token\n"
                if line in {b"event: done\n", b"event: refusal\n", b"event: error\n"}:
                    sent.finished = True
                if sent.tokens >= leaves_after:
                    answer.close()  # at once, and not read to its end
                    return
            sent.finished = sent.finished or not body["stream"] or answer.status != 200


def _query(kind: str, dice: random.Random) -> str:
    words = " ".join(["and"] * dice.randint(0, 30))
    match kind:
        case "refused":
            return REFUSED
        case "fail":
            return f"fault:{dice.choice(FAILURES)} {words}"
        case "stall":
            return f"fault:stall {words}"
        case "long":
            return f"tokens:{dice.randint(300, 500)} {words}"
        case _:
            return f"tokens:{dice.randint(1, 90)} {words}"
