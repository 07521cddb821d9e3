"""Turns for tests of the orchestrator: a context, a request, a sink that keeps what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from langgraph.runtime import Runtime

from app.fitting import PromptBudget
from app.pipe import Event
from app.ports import Caller
from app.state import Turn
from contracts.chat import Route, TurnRequest
from contracts.context import Role, TenantContext
from contracts.retrieval import Passage
from contracts.routes import BUILT_IN_ROUTES
from contracts.tenant import TenantId
from servicekit.tokens import utc_now

T1 = TenantId("t1")
T2 = TenantId("t2")
ALL_ROUTES = tuple(route.name for route in BUILT_IN_ROUTES)


def a_context(tenant: TenantId = T1, **changes: Any) -> TenantContext:
    fields: dict[str, Any] = {
        "tenant_id": tenant,
        "user_id": "u1",
        "roles": (Role.TENANT_USER,),
        "session_id": "s1",
        "request_id": "r1",
        "config_version": 1,
        "allowed_routes": ALL_ROUTES,
        "deadline": utc_now() + timedelta(seconds=20),
        "cache_salt": "salt",
    }
    return TenantContext(**(fields | changes))


def a_request(query: str = "hello", **changes: Any) -> TurnRequest:
    return TurnRequest(**({"query": query, "locale": "en-US", "routes": BUILT_IN_ROUTES} | changes))


def a_passage(chunk_id: str = "c1", text: str = "Lentils contain protein.", score: float = 0.8) -> Passage:
    return Passage(chunk_id=chunk_id, document_id="d1", title="Food", text=text, score=score, start=0, end=len(text))


def a_route(name: str, *examples: str, **fields: Any) -> Route:
    return Route(name=name, examples=examples, **fields)


class WordCounter:
    """A token is a word. Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def count(self, context: TenantContext, texts: Sequence[str]) -> list[int]:
        self.asked += texts
        return [len(text.split()) for text in texts]


def a_budget(context_tokens: int = 4_096, answer_tokens: int = 512) -> PromptBudget:
    return PromptBudget(WordCounter(), context_tokens, answer_tokens)


class KeptEvents:
    """A sink that never makes anybody wait."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def put(self, event: Event) -> None:
        self.events.append(event)


def a_runtime(context: TenantContext | None = None, request: TurnRequest | None = None) -> Runtime[Turn]:
    caller = Caller(context or a_context(), "rag-token")
    return Runtime(context=Turn(caller, request or a_request(), KeptEvents()))


def kept(runtime: Runtime[Turn]) -> list[Event]:
    sink = runtime.context.sink
    assert isinstance(sink, KeptEvents)
    return sink.events
