"""`/v1/documents`: a tenant's corpus."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ValidationError

from contracts.context import TenantContext
from contracts.errors import InvalidRequestError
from contracts.retrieval import (
    MAX_CHUNK_PAGE,
    ChunkPage,
    DocumentId,
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    DocumentState,
    IngestRequest,
    StoredPassages,
)
from rag.api.context import Context, Service
from rag.service import RagService
from servicekit.edge import while_awaited
from servicekit.problems import OPENAPI_ERRORS, malformed

MAX_PAGE = 200

router = APIRouter(prefix="/v1/documents", tags=["documents"], responses=OPENAPI_ERRORS)

DocumentPath = Annotated[DocumentId, Path()]
After = Annotated[str, Query(max_length=128, pattern=r"^[A-Za-z0-9._-]*$")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.post("", status_code=201)
async def ingest(
    body: IngestRequest, request: Request, response: Response, context: Context, service: Service
) -> DocumentReceipt:
    """201 means committed: text, chunks and embeddings are in PostgreSQL. 202: the file is kept, and a job begins."""
    return await _ingested(body, request, response, context, service)


@router.post("/file", status_code=201)
async def ingest_file(request: Request, response: Response, context: Context, service: Service) -> DocumentReceipt:
    """The same in one frame: the request as JSON without `content`, NUL, the file's bytes: nothing is encoded."""
    head, mark, content = (await request.body()).partition(b"\x00")
    if not mark:
        raise InvalidRequestError("the frame has no end of its head")
    try:
        body = IngestRequest(**{**orjson.loads(head), "content": content})
    except ValidationError as error:
        raise malformed(error.errors(include_url=False, include_context=False, include_input=False)) from error
    except (ValueError, TypeError) as error:
        raise InvalidRequestError("the frame's head is not a JSON object") from error
    return await _ingested(body, request, response, context, service)


async def _ingested(
    body: IngestRequest, request: Request, response: Response, context: TenantContext, service: RagService
) -> DocumentReceipt:
    tenant, born = context.tenant_id, context.tenant_born
    found = await while_awaited(request, context, service.prepare(tenant, body, born=born))
    if not isinstance(found, DocumentReceipt):
        # Neither the caller's leaving nor its deadline comes between: it could not tell whether the document is kept.
        found = await service.keep(tenant, found, born=born)
    response.status_code = 201 if found.state == "ready" else 202
    return found


@router.get("")
async def list_documents(
    context: Context,
    service: Service,
    after: After = "",
    limit: Limit = 50,
    state: DocumentState | None = None,
) -> DocumentPage:
    return await service.documents(context.tenant_id, after=after, limit=limit, state=state, born=context.tenant_born)


@router.get("/{document_id}")
async def document(document_id: DocumentPath, context: Context, service: Service) -> DocumentInfo:
    return await service.document(context.tenant_id, document_id, born=context.tenant_born)


@router.get("/{document_id}/chunks")
async def chunks(
    document_id: DocumentPath,
    context: Context,
    service: Service,
    after: Annotated[int, Query(ge=-1)] = -1,
    limit: Annotated[int, Query(ge=1, le=MAX_CHUNK_PAGE)] = 50,
) -> ChunkPage:
    return await service.chunks(context.tenant_id, document_id, after=after, limit=limit, born=context.tenant_born)


@router.get("/{document_id}/passages")
async def passages(document_id: DocumentPath, context: Context, service: Service) -> StoredPassages:
    """Everything that is kept of its text."""
    found = await service.passages(context.tenant_id, document_id, born=context.tenant_born)
    return StoredPassages(passages=found)


@router.delete("/{document_id}", status_code=204)
async def delete(document_id: DocumentPath, context: Context, service: Service) -> None:
    await service.delete(context.tenant_id, document_id, born=context.tenant_born)
