"""The RAG service over HTTP: embeddings and search, with the caller's own token for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import orjson
from pydantic import BaseModel, ValidationError

from app.adapters.failures import counted
from app.ports import Caller, Vector
from contracts.errors import UpstreamError
from contracts.ranking import Ranking
from contracts.retrieval import EmbedResponse, Passage, SearchResponse
from observability.metrics import Metrics
from servicekit.client import ServiceClient, bearer

MAX_TEXTS = 256
"""`EmbedRequest` takes no more at once."""

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class RagHttp:
    """Implements `Embedder` and `Retriever`. Every call ends at the context's deadline."""

    def __init__(self, client: ServiceClient, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics

    async def embed(self, caller: Caller, texts: Sequence[str]) -> list[Vector]:
        vectors: list[Vector] = []
        for start in range(0, len(texts), MAX_TEXTS):
            batch = list(texts[start : start + MAX_TEXTS])
            answer = await self._ask(caller, "/v1/embed", {"texts": batch}, EmbedResponse)
            if len(answer.vectors) != len(batch):
                raise UpstreamError("rag answered with another number of vectors than texts")
            vectors += (np.asarray(row, dtype=np.float32) for row in answer.vectors)
        return vectors

    async def search(
        self, caller: Caller, query: str, vector: Vector | None, k: int, *, ranking: Ranking
    ) -> list[Passage]:
        body = {"query": query, "k": k, "vector": vector, "ranking": ranking.model_dump()}
        return (await self._ask(caller, "/v1/search", body, SearchResponse)).passages

    async def _ask(self, caller: Caller, path: str, body: dict[str, Any], answer: type[AnswerT]) -> AnswerT:
        with counted(self._metrics, "rag"):
            content = await self._client.read(
                "POST",
                path,
                headers={**bearer(caller.rag_token, caller.context), "content-type": "application/json"},
                deadline=caller.context.deadline,
                data=orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
            )
            try:
                return answer.model_validate_json(content)
            except ValidationError as error:
                raise UpstreamError("rag answered with something else than was asked") from error
