"""A tenant's documents, and search in them."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack
from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import Response

from contracts.chat import Query as QueryText
from contracts.errors import AtriumError, BodyTooLargeError, InvalidRequestError
from contracts.retrieval import (
    MAX_CHUNK_PAGE,
    MAX_DOCUMENT_BYTES,
    MAX_FILES,
    MAX_PASSAGES,
    MAX_TEXT_BYTES,
    ChunkPage,
    DocumentId,
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    DocumentState,
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
from router.api.bounded import BoundedRoute
from router.api.dependencies import CallerDep, Services, ServicesDep, admit_again
from router.domain.caller import Caller
from router.service.access import require_same
from router.service.identity import tenant_id_from
from servicekit.edge import until_disconnect
from servicekit.problems import OPENAPI_ERRORS, malformed

api = APIRouter(prefix="/tenant/{tenant_id}", tags=["documents"], responses=OPENAPI_ERRORS, route_class=BoundedRoute)

DocumentPath = Annotated[DocumentId, Path()]


_UTF_8 = re.compile(r"charset\s*=\s*\"?utf-?8\"?\s*(?:;|$)")


class DocumentText(BaseModel):
    """A document as JSON. The text is taken as Markdown, of which plain text is a case."""

    model_config = ConfigDict(extra="forbid")

    title: Title
    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_BYTES), Storable]
    metadata: Metadata = {}
    document_id: DocumentId | None = None
    tenant_id: TenantId | None = None


class File(TypedDict):
    """One file of an upload, as it was sent: nothing of it is checked yet."""

    title: Any
    filename: Any
    content: bytes
    metadata: Any
    document_id: Any


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
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "a text, Markdown, HTML, PDF, Word, CSV or JSON file; may be repeated",
                        },
                        "title": {"type": "string", "description": "default: the file's name; for a single file"},
                        "document_id": {"type": "string", "description": "for a single file"},
                        "metadata": {"type": "string", "description": "a JSON object, for every file"},
                    },
                }
            },
        },
    }
}


class BatchItem(BaseModel):
    """What became of one file. `error` is the error's code and message, and then nothing of it is kept."""

    filename: str
    document_id: str | None = None
    state: DocumentState
    chunks: int = 0
    seq: int = 0
    error: dict[str, str] | None = None


class Batch(BaseModel):
    """In the order of the files."""

    items: list[BatchItem]


@api.post("/documents", status_code=201, openapi_extra=_UPLOAD_SCHEMA)
async def upload(
    request: Request, response: Response, caller: CallerDep, found: ServicesDep
) -> DocumentReceipt | Batch:
    """Keep a document (JSON, or multipart with `file`). 201 means: text, chunks and embeddings are committed; 202: the
    file is kept, and is processed as a job. Several files are answered 200 with a list that says so of each."""
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    kind = kind.strip()
    if "charset" in parameters and not _UTF_8.search(parameters):
        raise InvalidRequestError("send UTF-8")
    if kind == "multipart/form-data":
        files = await _from_form(request, caller)
    elif kind in {"application/json", ""}:
        files = [_from_json(await request.body(), caller)]
    else:
        raise InvalidRequestError("send application/json or multipart/form-data")
    # The body may have taken its time. From here on the client's leaving stops nothing: whether the document was kept,
    # and the audit event with it, could not be said then.
    caller = await admit_again(request, found, caller)
    if len(files) > 1:
        response.status_code = 200
        return Batch(items=[await _added(found, caller, file) for file in files])
    receipt = await found.documents.add(caller, _checked(files[0]))
    response.status_code = 201 if receipt.state == "ready" else 202
    return receipt


@api.get("/documents")
async def list_documents(
    caller: CallerDep,
    found: ServicesDep,
    after: Annotated[str, Query(max_length=128)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    state: DocumentState | None = None,
) -> DocumentPage:
    return await found.documents.list(caller, after, limit, state)


@api.get("/documents/{document_id}")
async def get_document(caller: CallerDep, document_id: DocumentPath, found: ServicesDep) -> DocumentInfo:
    return await found.documents.get(caller, document_id)


@api.get("/documents/{document_id}/chunks")
async def list_chunks(
    caller: CallerDep,
    document_id: DocumentPath,
    found: ServicesDep,
    after: Annotated[int, Query(ge=-1, lt=2**31)] = -1,
    limit: Annotated[int, Query(ge=1, le=MAX_CHUNK_PAGE)] = 50,
) -> ChunkPage:
    """What searches find of the document now; `after` is the ordinal of the last chunk seen."""
    return await found.documents.chunks(caller, document_id, after, limit)


@api.delete("/documents/{document_id}", status_code=204)
async def delete_document(caller: CallerDep, document_id: DocumentPath, found: ServicesDep) -> Response:
    await found.documents.delete(caller, document_id)
    return Response(status_code=204)


@api.post("/search")
async def search(request: Request, caller: CallerDep, body: SearchBody, found: ServicesDep) -> SearchResponse:
    require_same(caller.tenant_id, body.tenant_id)
    wanted = SearchRequest(
        query=body.query,
        k=body.k,
        min_seq=body.min_seq,
        filter=body.filter,
        mode=body.mode,
        ranking=caller.policy.config.ranking,
    )
    return await until_disconnect(request, found.documents.search(caller, wanted))


def _from_json(raw: bytes, caller: Caller) -> File:
    try:
        body = DocumentText.model_validate_json(raw)
    except ValidationError as error:
        raise _malformed(error) from error
    require_same(caller.tenant_id, body.tenant_id)
    return File(
        title=body.title,
        filename="document.md",
        content=body.text.encode("utf-8", "strict"),
        metadata=body.metadata,
        document_id=body.document_id,
    )


async def _from_form(request: Request, caller: Caller) -> list[File]:
    try:
        form = await request.form(max_files=MAX_FILES, max_fields=8)
    except (MultiPartException, HTTPException) as error:
        raise InvalidRequestError(f"the form cannot be read: {getattr(error, 'detail', error)}") from error
    async with AsyncExitStack() as stack:
        stack.push_async_callback(form.close)
        files = [file for file in form.getlist("file") if isinstance(file, UploadFile)]
        if not files or len(files) < len(form.getlist("file")):
            raise InvalidRequestError("the form has no `file`")
        if unknown := sorted(set(form) - {"file", "title", "document_id", "tenant_id", "metadata"}):
            raise InvalidRequestError(f"unknown form field: {', '.join(unknown)}")
        if len(files) > 1 and ("title" in form or "document_id" in form):
            raise InvalidRequestError("title and document_id are for a single file")
        named = form.get("tenant_id")
        require_same(caller.tenant_id, tenant_id_from(str(named), "tenant_id") if named is not None else None)
        metadata = _metadata(form.get("metadata"))
        return [
            File(
                title=form.get("title") or file.filename or "",
                filename=file.filename or "",
                content=await file.read(),
                metadata=metadata,
                document_id=form.get("document_id"),
            )
            for file in files
        ]


def _metadata(field: Any) -> Any:
    if field is None:
        return {}
    try:
        found = json.loads(field)
    except (ValueError, TypeError, RecursionError):
        raise InvalidRequestError("metadata: must be a JSON object") from None
    if not isinstance(found, dict):
        raise InvalidRequestError("metadata: must be a JSON object")
    return found


async def _added(found: Services, caller: Caller, file: File) -> BatchItem:
    """One file of several: what is wrong with it is said of it alone."""
    try:
        receipt = await found.documents.add(caller, _checked(file))
    except AtriumError as error:
        said = {"code": error.code, "message": error.message}
        return BatchItem(filename=str(file["filename"]), state="failed", error=said)
    return BatchItem(filename=str(file["filename"]), **receipt.model_dump())


def _checked(file: File) -> IngestRequest:
    if len(file["content"]) > MAX_DOCUMENT_BYTES:
        raise BodyTooLargeError(f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
    try:
        return IngestRequest(**file)
    except ValidationError as error:
        raise _malformed(error) from error


def _malformed(error: ValidationError) -> InvalidRequestError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return malformed([{**item, "loc": ("body", *item["loc"])} for item in found])
