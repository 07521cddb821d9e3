"""What clients send and are told, as the values that this service works with, and the other way round."""

from __future__ import annotations

import json

from contracts.errors import InvalidRequestError
from contracts.retrieval import DocumentInfo, DocumentReceipt, IngestRequest, Metadata, Passage, Progress
from contracts.tenant import TenantId
from rag.domain.corpus import Document
from rag.domain.identity import content_hash, derived_document_id
from rag.domain.jobs import Job
from rag.domain.query import Scored

MAX_METADATA_BYTES = 16 * 1024


def document_of(tenant_id: TenantId, request: IngestRequest) -> Document:
    """Raises InvalidRequestError."""
    _check_metadata(request.metadata)
    file_hash = content_hash(request.content)
    return Document(
        document_id=request.document_id or derived_document_id(tenant_id, request.title, file_hash),
        title=request.title,
        filename=request.filename,
        metadata=request.metadata,
        content_hash=file_hash,
        size_bytes=len(request.content),
    )


def _check_metadata(metadata: Metadata) -> None:
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
        raise InvalidRequestError(f"metadata: larger than {MAX_METADATA_BYTES} bytes")


def receipt_of(job: Job) -> DocumentReceipt:
    ready = job.ready
    return DocumentReceipt(
        document_id=job.document.document_id,
        state=job.shown,
        chunks=ready.chunks if ready else 0,
        seq=ready.seq if ready else 0,
    )


def info_of(job: Job) -> DocumentInfo:
    document, ready = job.document, job.ready
    return DocumentInfo(
        document_id=document.document_id,
        title=document.title,
        filename=document.filename,
        state=job.shown,
        chunks=ready.chunks if ready else 0,
        bytes=document.size_bytes,
        seq=ready.seq if ready else 0,
        metadata=document.metadata,
        created_at=ready.created_at if ready else job.created_at,
        progress=Progress(done=job.done, total=job.total),
        error=job.error,
    )


def passage_of(found: Scored) -> Passage:
    record = found.record
    return Passage(
        chunk_id=record.chunk_id,
        document_id=record.document_id,
        title=record.title,
        text=record.text,
        score=found.score if found.score is not None else 0.0,
        start=record.start,
        end=record.end,
    )
