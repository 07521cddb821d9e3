"""A tenant's corpus: its version, its documents and the chunks they were cut into."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from contracts.retrieval import Metadata
from contracts.tenant import TenantId
from rag.domain.vectors import HalfMatrix


@dataclass(frozen=True, slots=True)
class CorpusVersion:
    """`seq` grows with every write; `born` tells a tenant from an earlier one of the same name."""

    born: datetime
    seq: int

    def covers(self, asked: CorpusVersion) -> bool:
        """Whether a view made at this version shows everything that was committed at `asked`."""
        return self.born == asked.born and self.seq >= asked.seq


@dataclass(frozen=True, slots=True)
class Document:
    """A document to keep. `content_hash` is the SHA-256 of the file's bytes."""

    document_id: str
    title: str
    filename: str
    metadata: Metadata
    content_hash: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document's text: `text` is what stands at characters `start` to `end` of it, below `heading`.

    `ordinal` counts a document's chunks from 0.
    """

    chunk_id: str
    ordinal: int
    text: str
    start: int
    end: int
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is kept of a document already, as far as it decides whether the same upload has anything to do."""

    document: Document
    model: str
    chunks: int
    seq: int

    def answers(self, offered: Document, model: str) -> bool:
        return self.document == offered and self.model == model


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """A chunk as an index holds it. `tenant_id` is the owner that the chunk log names, not the one who asks.

    `metadata` is the document's; `heading` says under which headings the chunk stands, outermost first, or is empty;
    `seq` is the write that brought the chunk.
    """

    tenant_id: TenantId
    chunk_id: str
    document_id: str
    title: str
    text: str
    start: int
    end: int
    seq: int = 0
    metadata: Metadata = field(default_factory=dict, hash=False)
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """All of a tenant's chunks embedded with one model: row i of `vectors` belongs to `records[i]`.

    `version` is never newer than the content. `of_other_models` counts chunks that were left out.
    """

    version: CorpusVersion
    records: tuple[ChunkRecord, ...]
    vectors: HalfMatrix
    of_other_models: int = 0


@dataclass(frozen=True, slots=True)
class Scanned:
    """Of which version the chunks were that were given portion by portion, and how many were left out."""

    version: CorpusVersion
    of_other_models: int = 0


@dataclass(frozen=True, slots=True)
class ChunkTail:
    """What happened to a corpus since an earlier version: `removed` (chunk ids) went first, then `added` came.

    A chunk that came and went again in between is in `removed` alone.
    """

    added: Corpus
    removed: frozenset[str]

    @property
    def version(self) -> CorpusVersion:
        return self.added.version

    @property
    def changes(self) -> int:
        return len(self.added.records) + len(self.removed)
