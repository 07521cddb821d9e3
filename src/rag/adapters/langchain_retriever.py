"""The public search as a LangChain retriever: for chains that are written already. It holds a tenant's key, no index.

retriever = AtriumRetriever(url="https://atrium.example", tenant="t1", key="atr_…", k=5)
documents = await retriever.ainvoke("What does milk cost?")
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import aiohttp
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, SecretStr, ValidationError

from contracts.errors import UpstreamError
from contracts.retrieval import MAX_PASSAGES, SearchFilter, SearchMode, SearchResponse
from servicekit.problems import error_from_envelope


class AtriumRetriever(BaseRetriever):
    """Every document has the passage as its text, and as metadata what a citation needs: `chunk_id`, `document_id`,
    `title`, `score`, `start`, `end`. Raises the errors of `contracts.errors`."""

    url: str
    tenant: str
    key: SecretStr
    k: int = Field(default=5, ge=1, le=MAX_PASSAGES)
    filter: SearchFilter | None = None
    mode: SearchMode = "hybrid"
    timeout_s: float = Field(default=30.0, gt=0)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        """For callers without an event loop; in one, use `ainvoke`."""
        del run_manager
        return asyncio.run(self._search(query))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        del run_manager
        return await self._search(query)

    def _asked(self, query: str) -> dict[str, Any]:
        asked: dict[str, Any] = {"query": query, "k": self.k, "mode": self.mode}
        if self.filter is not None:
            asked["filter"] = self.filter.model_dump(mode="json", exclude_none=True)
        return asked

    async def _search(self, query: str) -> list[Document]:
        path = f"{self.url.rstrip('/')}/tenant/{quote(self.tenant, safe='')}/search"
        headers = {"authorization": f"Bearer {self.key.get_secret_value()}"}
        timeout = aiohttp.ClientTimeout(self.timeout_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(path, headers=headers, json=self._asked(query)) as response,
            ):
                body = await response.read()
                if response.status != 200:
                    raise error_from_envelope(response.status, body, service="atrium")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UpstreamError("atrium is out of reach") from error
        return _documents(body)


def _documents(body: bytes) -> list[Document]:
    try:
        found: dict[str, Any] = json.loads(body)
        passages = SearchResponse.model_validate(found).passages
    except (ValueError, ValidationError) as error:
        raise UpstreamError("atrium sent an answer of another shape") from error
    return [
        Document(id=passage.chunk_id, page_content=passage.text, metadata=passage.model_dump(exclude={"text"}))
        for passage in passages
    ]
