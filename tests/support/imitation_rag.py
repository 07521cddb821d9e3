"""An IMITATION of the RAG service, for tests of the orchestrator alone: it knows words, not meaning.

It speaks the internal API, verifies its token as the real one does, and keeps each tenant's passages apart.
The query may tell it to misbehave: `rag:hang`, `rag:down` (503), `rag:garbage`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.adapters.memory import word_vector
from contracts.context import Audience
from contracts.errors import UnauthenticatedError
from contracts.retrieval import EmbedRequest, Passage, SearchRequest
from contracts.tenant import TenantId
from servicekit.tokens import TokenVerifier
from support.server import served


@dataclass(slots=True)
class ImitationRag:
    """`asked` holds path, tenant and body of every call; `left` the paths of those whose caller went away."""

    keys: list[Ed25519PublicKey]
    passages: dict[TenantId, list[Passage]] = field(default_factory=dict)
    dependencies: dict[str, str] = field(default_factory=lambda: {"postgres": "ok"})
    asked: list[tuple[str, TenantId, dict[str, Any]]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, what: Callable[[ImitationRag], bool], timeout_s: float = 5.0) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: what(self), timeout_s)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/readyz", self._readyz),
                Route("/v1/embed", self._embed, methods=["POST"]),
                Route("/v1/search", self._search, methods=["POST"]),
            ]
        )

    async def _readyz(self, _request: Request) -> Response:
        ready = all(state == "ok" for state in self.dependencies.values())
        return JSONResponse(
            {"status": "ready" if ready else "unready", "dependencies": self.dependencies},
            status_code=200 if ready else 503,
        )

    async def _embed(self, request: Request) -> Response:
        tenant, body = await self._received(request)
        if tenant is None:
            return _refused(401, "unauthenticated")
        asked = EmbedRequest.model_validate(body)
        fault = await self._fault(request, asked.texts[0])
        return fault or JSONResponse(
            {"model": "words", "vectors": [[float(x) for x in word_vector(text)] for text in asked.texts]}
        )

    async def _search(self, request: Request) -> Response:
        tenant, body = await self._received(request)
        if tenant is None:
            return _refused(401, "unauthenticated")
        asked = SearchRequest.model_validate(body)
        near = word_vector(asked.query)
        scored = [
            passage.model_copy(update={"score": float(word_vector(passage.text) @ near)})
            for passage in self.passages.get(tenant, [])
        ]
        best = sorted(scored, key=lambda passage: passage.score, reverse=True)[: asked.k]
        return JSONResponse({"passages": [passage.model_dump() for passage in best]})

    async def _received(self, request: Request) -> tuple[TenantId | None, dict[str, Any]]:
        body = orjson.loads(await request.body())
        try:
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            tenant = TokenVerifier(Audience.RAG, self.keys).verify(token).tenant_id
        except UnauthenticatedError:
            return None, body
        self.asked.append((request.url.path, tenant, body))
        self._notify()
        return tenant, body

    async def _fault(self, request: Request, query: str) -> Response | None:
        if "rag:down" in query:
            return _refused(503, "dependency_unavailable")
        if "rag:garbage" in query:
            return JSONResponse({"vectors": "none"})
        if "rag:hang" in query:
            await request.receive()  # the body is read: the next message is the disconnect
            self.left.append(request.url.path)
            self._notify()
        return None

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _refused(status: int, code: str) -> Response:
    error = {"code": code, "message": "no", "request_id": "r", "details": {}}
    return JSONResponse({"error": error}, status_code=status)


@contextmanager
def running_rag(keys: list[Ed25519PublicKey]) -> Iterator[tuple[str, ImitationRag]]:
    imitation = ImitationRag(keys)
    with served(imitation.app()) as url:
        yield url, imitation
