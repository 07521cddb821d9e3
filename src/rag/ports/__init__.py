"""What the service's core needs of the outside: an embedding model, the chunk log, and an index over vectors."""

from rag.ports.chunks import ChunkStore, Take
from rag.ports.embedding import Embedder, Reranker
from rag.ports.index import IndexBuilder, IndexDraft, TenantIndex
from rag.ports.ingestion import Extractor, JobStore
from rag.ports.snapshots import Marks, SnapshotStore

__all__ = [
    "ChunkStore",
    "Embedder",
    "Extractor",
    "IndexBuilder",
    "IndexDraft",
    "JobStore",
    "Marks",
    "Reranker",
    "SnapshotStore",
    "Take",
    "TenantIndex",
]
