"""`/v1/documents`: a tenant's corpus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from contracts.retrieval import DocumentId, DocumentInfo, DocumentPage, DocumentReceipt, IngestRequest, StoredPassages
from rag.api.context import Context, Service
from servicekit.edge import while_awaited
from servicekit.problems import OPENAPI_ERRORS

MAX_PAGE = 200

router = APIRouter(prefix="/v1/documents", tags=["documents"], responses=OPENAPI_ERRORS)

DocumentPath = Annotated[DocumentId, Path()]
After = Annotated[str, Query(max_length=128, pattern=r"^[A-Za-z0-9._-]*$")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.post("", status_code=201)
async def ingest(body: IngestRequest, request: Request, context: Context, service: Service) -> DocumentReceipt:
    """201 means committed: text, chunks and embeddings are in PostgreSQL."""
    tenant, born = context.tenant_id, context.tenant_born
    found = await while_awaited(request, context, service.prepare(tenant, body, born=born))
    # Neither the caller's leaving nor its deadline comes between: it could not tell whether the document is kept.
    return found if isinstance(found, DocumentReceipt) else await service.keep(tenant, found, born=born)


@router.get("")
async def list_documents(context: Context, service: Service, after: After = "", limit: Limit = 50) -> DocumentPage:
    return await service.documents(context.tenant_id, after=after, limit=limit, born=context.tenant_born)


@router.get("/{document_id}")
async def document(document_id: DocumentPath, context: Context, service: Service) -> DocumentInfo:
    return await service.document(context.tenant_id, document_id, born=context.tenant_born)


@router.get("/{document_id}/passages")
async def passages(document_id: DocumentPath, context: Context, service: Service) -> StoredPassages:
    """Everything that is kept of its text."""
    found = await service.passages(context.tenant_id, document_id, born=context.tenant_born)
    return StoredPassages(passages=found)


@router.delete("/{document_id}", status_code=204)
async def delete(document_id: DocumentPath, context: Context, service: Service) -> None:
    await service.delete(context.tenant_id, document_id, born=context.tenant_born)
