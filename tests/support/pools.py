"""An orchestrator over several imitations of an engine, and somebody who asks it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from app.main import create_app
from app.settings import Settings
from contracts.context import Audience, TenantContext
from servicekit.tokens import TokenSigner, generate_signing_key, load_signing_key, public_text, utc_now
from support.imitation_engine import Imitation, running_imitation
from support.imitation_rag import running_rag
from support.server import served
from support.turns import a_context, a_request

KEY = load_signing_key(generate_signing_key())


def within(seconds: float, **changes: Any) -> TenantContext:
    return a_context(deadline=utc_now() + timedelta(seconds=seconds), **changes)


def until(what: Callable[[], bool], within_s: float = 8.0) -> None:
    """For what happens in the background of another thread."""
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@dataclass
class Asking:
    """Whoever asks the orchestrator at `url`."""

    url: str

    def __post_init__(self) -> None:
        self._signer = TokenSigner(KEY)

    def headers(self, context: TenantContext) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._signer.mint(Audience.ORCHESTRATOR, context)}",
            "x-atrium-rag-token": self._signer.mint(Audience.RAG, context),
            "content-type": "application/json",
        }

    def body(self, query: str, **request: Any) -> str:
        return a_request(query, **request).model_dump_json()

    def ask(self, query: str, context: TenantContext | None = None, **request: Any) -> httpx.Response:
        headers = self.headers(context or a_context())
        return httpx.post(f"{self.url}/v1/turns", content=self.body(query, **request), headers=headers, timeout=30)

    def events(self, query: str, context: TenantContext | None = None, **request: Any) -> list[dict[str, Any]]:
        answer = self.ask(query, context, **request)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    @contextmanager
    def stream(self, query: str, context: TenantContext | None = None) -> Iterator[Iterator[dict[str, Any]]]:
        headers = self.headers(context or a_context())
        with httpx.stream(
            "POST", f"{self.url}/v1/turns", content=self.body(query), headers=headers, timeout=30
        ) as answer:
            yield (json.loads(line) for line in answer.iter_lines())

    def pools(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/v1/pools").json()["pools"]
        return found

    def pool(self, name: str = "pooled") -> dict[str, Any]:
        found: dict[str, Any] = self.pools()[name]
        return found

    def metric(self, name: str, **labels: str) -> float:
        """0 where it was never counted."""
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            if line.startswith(name + "{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


@contextmanager
def running_asking(engines: str, **settings: Any) -> Iterator[Asking]:
    """`engines` is VLLM_SERVICE_URL."""
    with running_rag([KEY.public_key()]) as (rag_url, _rag):
        built = Settings(
            rag_service_url=rag_url, vllm_service_url=engines, service_verify_keys=public_text(KEY), **settings
        )
        with served(create_app(built)) as url:
            yield Asking(url)


@dataclass
class Pool(Asking):
    """`engines` by their addresses."""

    engines: dict[str, Imitation]

    def used(self) -> Imitation:
        """The one that was asked first."""
        return min((one for one in self.engines.values() if one.asked), key=lambda one: one.asked[0].asked_at)

    def asked(self) -> int:
        return sum(len(engine.asked) for engine in self.engines.values())

    def preferred(self, context: TenantContext | None = None) -> Imitation:
        """The one that a conversation belongs to, with nothing remembered of how that was found out."""
        self.events("hello", context)
        used = self.used()
        for engine in self.engines.values():
            engine.asked.clear()
        return used


@contextmanager
def running_pool(
    count: int,
    *,
    tokens: int = 8,
    interval_s: float = 0.0,
    adapters: Sequence[tuple[str, ...]] = (),
    **settings: Any,
) -> Iterator[Pool]:
    """`adapters`: which each of the engines serves."""
    with ExitStack() as stack:
        running = [stack.enter_context(running_imitation(tokens=tokens, interval_s=interval_s)) for _ in range(count)]
        for (_, engine), served_too in zip(running, adapters, strict=False):
            engine.adapters = served_too
        asking = stack.enter_context(running_asking(",".join(url for url, _ in running), **settings))
        yield Pool(asking.url, dict(running))
