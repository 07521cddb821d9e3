"""The RAG service over HTTP: embeddings and search, with the caller's own token for it.

Each of the two has a circuit breaker: after some failures in a row nobody waits for it, until a trial succeeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import orjson
from pydantic import BaseModel, ValidationError

from app.adapters.failures import counted
from app.ports import AWAY, Caller, Embedded, QueryVector, Vector
from contracts.errors import AtriumError, DependencyDownError, UpstreamError
from contracts.ranking import Ranking
from contracts.retrieval import EmbedResponse, Passage, SearchResponse
from observability.metrics import Metrics
from servicekit.circuit_breaker import CircuitBreaker
from servicekit.client import ServiceClient, bearer

MAX_TEXTS = 256
"""`EmbedRequest` takes no more at once."""
FAILURES, OPEN_S = 5, 5.0
"""So many in a row, whoever asked, and for so long nothing is sent; then one request as a trial."""

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class RagHttp:
    """Implements `Embedder` and `Retriever`. Every call ends at the caller's deadline."""

    def __init__(self, client: ServiceClient, metrics: Metrics, *, now: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._metrics = metrics
        self._now = now
        self._breakers = {path: CircuitBreaker(FAILURES, OPEN_S) for path in ("/v1/embed", "/v1/search")}

    async def embed(self, caller: Caller, texts: Sequence[str]) -> Embedded:
        vectors: list[Vector] = []
        model = ""
        for start in range(0, len(texts), MAX_TEXTS):
            batch = list(texts[start : start + MAX_TEXTS])
            answer = await self._ask(caller, "/v1/embed", {"texts": batch}, EmbedResponse)
            if len(answer.vectors) != len(batch):
                raise UpstreamError("rag answered with another number of vectors than texts")
            if start and answer.model != model:
                raise UpstreamError("rag changed its embedding model between two answers")
            model = answer.model
            vectors += (np.asarray(row, dtype=np.float32) for row in answer.vectors)
        return Embedded(model, vectors)

    async def search(
        self, caller: Caller, query: str, vector: QueryVector | None, k: int, *, ranking: Ranking
    ) -> list[Passage]:
        body: dict[str, Any] = {"query": query, "k": k, "ranking": ranking.model_dump()}
        if vector is not None:
            body |= {"vector": vector.vector, "model": vector.model}
        return (await self._ask(caller, "/v1/search", body, SearchResponse)).passages

    async def _ask(self, caller: Caller, path: str, body: dict[str, Any], answer: type[AnswerT]) -> AnswerT:
        with counted(self._metrics, "rag"), self._guarded(path):
            content = await self._client.read(
                "POST",
                path,
                headers={**bearer(caller.rag_token, caller.context), "content-type": "application/json"},
                deadline=caller.deadline,
                data=orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
            )
            try:
                return answer.model_validate_json(content)
            except ValidationError as error:
                raise UpstreamError("rag answered with something else than was asked") from error

    @contextmanager
    def _guarded(self, path: str) -> Iterator[None]:
        """Raises DependencyDownError at once while the breaker is open. A refusal of what was asked is no failure."""
        breaker = self._breakers[path]
        if not breaker.allows(self._now()):
            raise DependencyDownError("rag is out of reach", retry_after_s=max(1.0, breaker.wait_s(self._now())))
        try:
            yield
        except AWAY:
            breaker.failed(self._now())
            raise
        except AtriumError:
            breaker.succeeded()  # it answered
            raise
        except BaseException:
            breaker.gave_up()  # the caller left: nothing was learned
            raise
        breaker.succeeded()
