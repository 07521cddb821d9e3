"""The RAG service over HTTP."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from contracts.context import Audience, TenantContext
from contracts.errors import UpstreamError
from contracts.retrieval import (
    ChunkPage,
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    DocumentState,
    IngestRequest,
    LoadedIndex,
    SearchRequest,
    SearchResponse,
    StoredPassage,
    StoredPassages,
)
from servicekit.client import ServiceClient, bearer
from servicekit.tokens import TokenSigner

COMMIT = timedelta(seconds=35)
"""Beyond the deadline, for the commit of a document that was ready just before it: its outcome must be heard."""

M = TypeVar("M", bound=BaseModel)


class HttpDocuments:
    def __init__(self, client: ServiceClient, signer: TokenSigner) -> None:
        self._client = client
        self._signer = signer

    async def add(self, context: TenantContext, document: IngestRequest) -> DocumentReceipt:
        answer = await self._call(context, "POST", "/v1/documents/file", _frame(document), longer=COMMIT)
        return _parse(DocumentReceipt, answer)

    async def list(
        self, context: TenantContext, after: str, limit: int, state: DocumentState | None = None
    ) -> DocumentPage:
        query = {"after": after, "limit": str(limit), **({"state": state} if state else {})}
        return _parse(DocumentPage, await self._call(context, "GET", "/v1/documents", params=query))

    async def get(self, context: TenantContext, document_id: str) -> DocumentInfo:
        return _parse(DocumentInfo, await self._call(context, "GET", _path(document_id)))

    async def chunks(self, context: TenantContext, document_id: str, after: int, limit: int) -> ChunkPage:
        query = {"after": str(after), "limit": str(limit)}
        return _parse(ChunkPage, await self._call(context, "GET", f"{_path(document_id)}/chunks", params=query))

    async def delete(self, context: TenantContext, document_id: str) -> None:
        await self._call(context, "DELETE", _path(document_id))

    async def search(self, context: TenantContext, request: SearchRequest) -> SearchResponse:
        return _parse(SearchResponse, await self._call(context, "POST", "/v1/search", request))

    async def passages(self, context: TenantContext, document_id: str) -> Sequence[StoredPassage]:
        path = f"{_path(document_id)}/passages"
        return _parse(StoredPassages, await self._call(context, "GET", path)).passages

    async def loaded(self, context: TenantContext) -> int:
        return _parse(LoadedIndex, await self._call(context, "GET", "/v1/index")).vectors

    async def unload(self, context: TenantContext) -> int:
        return _parse(LoadedIndex, await self._call(context, "DELETE", "/v1/index")).vectors

    async def _call(
        self,
        context: TenantContext,
        method: str,
        path: str,
        body: BaseModel | bytes | None = None,
        params: dict[str, str] | None = None,
        *,
        longer: timedelta = timedelta(0),
    ) -> bytes:
        headers = {**bearer(self._signer.mint(Audience.RAG, context), context), "content-type": "application/json"}
        # A file is sent in pieces, so that others get their turn on the loop between them.
        data = body.model_dump_json().encode() if isinstance(body, BaseModel) else body and io.BytesIO(body)
        return await self._client.read(
            method, path, headers=headers, deadline=context.deadline + longer, data=data, params=params
        )


def _frame(document: IngestRequest) -> bytes:
    """What is said of the file as JSON, NUL, the file: nothing is encoded, as 25 MiB of it would hold up the loop."""
    return document.model_dump_json(exclude={"content"}).encode() + b"\x00" + document.content


def _path(document_id: str) -> str:
    return f"/v1/documents/{quote(document_id, safe='')}"


def _parse(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise UpstreamError("the RAG service sent an answer of another shape") from error
