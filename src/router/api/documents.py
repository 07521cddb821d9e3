"""A tenant's documents, and search in them."""

from __future__ import annotations

import base64
import re
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import Response

from contracts.chat import Query as QueryText
from contracts.errors import BodyTooLargeError, InvalidRequestError
from contracts.retrieval import (
    MAX_DOCUMENT_BYTES,
    MAX_PASSAGES,
    DocumentId,
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    IngestRequest,
    Metadata,
    SearchFilter,
    SearchMode,
    SearchRequest,
    SearchResponse,
    Title,
)
from contracts.tenant import TenantId
from contracts.text import Storable
from router.api.dependencies import CallerDep, ServicesDep, admit_again
from router.domain.caller import Caller
from router.service.access import require_same
from router.service.identity import tenant_id_from
from servicekit.edge import until_disconnect
from servicekit.problems import OPENAPI_ERRORS, malformed

api = APIRouter(prefix="/tenant/{tenant_id}", tags=["documents"], responses=OPENAPI_ERRORS)

DocumentPath = Annotated[DocumentId, Path()]


_UTF_8 = re.compile(r"charset\s*=\s*\"?utf-?8\"?\s*(?:;|$)")


class DocumentText(BaseModel):
    """A document as JSON. The text is taken as Markdown, of which plain text is a case."""

    model_config = ConfigDict(extra="forbid")

    title: Title
    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_DOCUMENT_BYTES), Storable]
    metadata: Metadata = {}
    document_id: DocumentId | None = None
    tenant_id: TenantId | None = None


class SearchBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    query: QueryText
    k: int = Field(default=5, ge=1, le=MAX_PASSAGES)
    min_seq: int = Field(default=0, ge=0)
    filter: SearchFilter | None = None
    mode: SearchMode = "hybrid"
    tenant_id: TenantId | None = None


_UPLOAD_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": DocumentText.model_json_schema(ref_template="#/components/schemas/{model}")},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "a .txt or .md file, UTF-8"},
                        "title": {"type": "string", "description": "default: the file's name"},
                        "document_id": {"type": "string"},
                    },
                }
            },
        },
    }
}


@api.post("/documents", status_code=201, openapi_extra=_UPLOAD_SCHEMA)
async def upload(request: Request, caller: CallerDep, found: ServicesDep) -> DocumentReceipt:
    """Keep a document (JSON, or multipart with `file`). 201 means: text, chunks and embeddings are committed."""
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    kind = kind.strip()
    if "charset" in parameters and not _UTF_8.search(parameters):
        raise InvalidRequestError("send UTF-8")
    if kind == "multipart/form-data":
        document = await _from_form(request, caller)
    elif kind in {"application/json", ""}:
        document = _from_json(await request.body(), caller)
    else:
        raise InvalidRequestError("send application/json or multipart/form-data")
    # The body may have taken its time. From here on the client's leaving stops nothing: whether the document was kept,
    # and the audit event with it, could not be said then.
    caller = await admit_again(request, found, caller)
    return await found.documents.add(caller, document)


@api.get("/documents")
async def list_documents(
    caller: CallerDep,
    found: ServicesDep,
    after: Annotated[str, Query(max_length=128)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> DocumentPage:
    return await found.documents.list(caller, after, limit)


@api.get("/documents/{document_id}")
async def get_document(caller: CallerDep, document_id: DocumentPath, found: ServicesDep) -> DocumentInfo:
    return await found.documents.get(caller, document_id)


@api.delete("/documents/{document_id}", status_code=204)
async def delete_document(caller: CallerDep, document_id: DocumentPath, found: ServicesDep) -> Response:
    await found.documents.delete(caller, document_id)
    return Response(status_code=204)


@api.post("/search")
async def search(request: Request, caller: CallerDep, body: SearchBody, found: ServicesDep) -> SearchResponse:
    require_same(caller.tenant_id, body.tenant_id)
    wanted = SearchRequest(query=body.query, k=body.k, min_seq=body.min_seq, filter=body.filter, mode=body.mode)
    return await until_disconnect(request, found.documents.search(caller, wanted))


def _from_json(raw: bytes, caller: Caller) -> IngestRequest:
    try:
        body = DocumentText.model_validate_json(raw)
    except ValidationError as error:
        raise _malformed(error) from error
    require_same(caller.tenant_id, body.tenant_id)
    return _ingest(
        title=body.title,
        filename="document.md",
        content=body.text.encode("utf-8", "strict"),
        metadata=body.metadata,
        document_id=body.document_id,
    )


async def _from_form(request: Request, caller: Caller) -> IngestRequest:
    try:
        form = await request.form(max_files=1, max_fields=8)
    except (MultiPartException, HTTPException) as error:
        raise InvalidRequestError(f"the form cannot be read: {getattr(error, 'detail', error)}") from error
    async with AsyncExitStack() as stack:
        stack.push_async_callback(form.close)
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequestError("the form has no `file`")
        if unknown := sorted(set(form) - {"file", "title", "document_id", "tenant_id"}):
            raise InvalidRequestError(f"unknown form field: {', '.join(unknown)}")
        named = form.get("tenant_id")
        require_same(caller.tenant_id, tenant_id_from(str(named), "tenant_id") if named is not None else None)
        filename = file.filename or ""
        return _ingest(
            title=form.get("title") or filename,
            filename=filename,
            content=await file.read(),
            metadata={},
            document_id=form.get("document_id"),
        )


def _ingest(*, content: bytes, **fields: Any) -> IngestRequest:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise BodyTooLargeError(f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
    try:
        return IngestRequest(content=base64.b64encode(content), **fields)
    except ValidationError as error:
        raise _malformed(error) from error


def _malformed(error: ValidationError) -> InvalidRequestError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return malformed([{**item, "loc": ("body", *item["loc"])} for item in found])
