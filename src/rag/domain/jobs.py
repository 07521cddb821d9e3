"""Ingestion jobs: what is known of one, and what a replica holds that works on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contracts.retrieval import DocumentState
from contracts.tenant import TenantId
from rag.domain.corpus import Document


class JobState(StrEnum):
    RECEIVING = "receiving"
    """The row is there and the file is not yet."""
    QUEUED = "queued"
    PROCESSING = "processing"
    COMMITTING = "committing"
    """The document is being written: from here on it cannot be withdrawn, only waited for."""
    FAILED = "failed"


_SHOWN: dict[JobState, DocumentState] = {
    JobState.RECEIVING: "queued",
    JobState.QUEUED: "queued",
    JobState.PROCESSING: "processing",
    JobState.COMMITTING: "processing",
    JobState.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Ready:
    """What searches find of the document meanwhile: an earlier upload of it."""

    chunks: int
    seq: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    job_id: str
    document: Document
    state: JobState
    done: int
    total: int | None
    error: str | None
    created_at: datetime
    ready: Ready | None = None

    @property
    def shown(self) -> DocumentState:
        return _SHOWN[self.state]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in this replica's hands while its lease holds. `attempts` counts this one."""

    tenant_id: TenantId
    document_id: str
    job_id: str
    born: datetime
    owner: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Part:
    """Vectors of the chunks from `first` on, half precision, row after row; `texts_hash` says of which texts."""

    first: int
    texts_hash: bytes
    vectors: bytes


class JobBusyError(Exception):
    """The document is being committed: to be waited for."""
