"""A replica of the RAG service's retrieval, put together as main does it, over stores of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contracts.tenant import TenantId
from observability.metrics import Metrics, NullMetrics
from observability.names import Metric
from rag.adapters.hash_embedder import HashEmbedder
from rag.adapters.object_snapshots import ObjectSnapshots
from rag.adapters.plain_index import PlainIndexBuilder
from rag.adapters.snapshot_disk import SnapshotDisk
from rag.compactor import Compactor, Thresholds
from rag.domain.corpus import Chunk, Document
from rag.domain.query import IndexQuery
from rag.domain.snapshot import FORMAT
from rag.domain.vectors import to_half
from rag.ports import ChunkStore, IndexBuilder, Marks
from rag.snapshots import Snapshots
from rag.tenant_retriever import TenantRetriever
from rag.view_loader import ViewLoader
from rag.views import ViewCache
from stores.objects import Objects

MIB = 1 << 20
EMBEDDER = HashEmbedder()
AT_ONCE = Thresholds(writes=1, age=timedelta(0), interval_s=3_600)
"""Every change is due at every turn."""


class CountingMetrics(NullMetrics):
    """Counts by the metric's name and the values of its dimensions, in order."""

    def __init__(self) -> None:
        self.counted: dict[tuple[str, ...], float] = {}
        self.observed: list[tuple[str, ...]] = []

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        key = (metric.name, *(dimensions.get(name, "") for name in metric.dimensions))
        self.counted[key] = self.counted.get(key, 0) + amount

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        self.observed.append((metric.name, *(dimensions.get(name, "") for name in metric.dimensions)))

    def faults(self) -> dict[tuple[str, str], float]:
        """Snapshots that could not be used, by place and reason."""
        return {(key[1], key[2]): count for key, count in self.counted.items() if key[0] == "SnapshotFault"}

    def sources(self) -> list[str]:
        """What indexes were loaded of, in order."""
        return [source for name, source in self.observed if name == "IndexLoad"]


@dataclass
class Replica:
    loader: ViewLoader
    cache: ViewCache
    retriever: TenantRetriever
    compactor: Compactor
    metrics: CountingMetrics

    async def texts(self, tenant_id: TenantId, text: str = "", *, k: int = 1_000, min_seq: int = 0) -> list[str]:
        found = await self.retriever.search(tenant_id, await question(text, k=k), min_seq=min_seq)
        return [item.record.text for item in found]


def replica(
    store: ChunkStore,
    marks: Marks,
    *,
    objects: Objects | None = None,
    disk: Path | None = None,
    disk_bytes: int = 100 * MIB,
    cache_bytes: int = 100 * MIB,
    builder: IndexBuilder | None = None,
    model: str = EMBEDDER.model,
    dimension: int = EMBEDDER.dimension,
    stored_from: int = 0,
    layout: str = FORMAT,
) -> Replica:
    """`disk` is needed with `objects`."""
    builder, metrics = builder or PlainIndexBuilder(), CountingMetrics()
    kept = _snapshots(objects, disk, disk_bytes, metrics, layout)
    snapshots = Snapshots(marks, kept, builder, metrics, model=model, dimension=dimension, stored_from=stored_from)
    loader = ViewLoader(store, builder, snapshots, metrics, model=model, dimension=dimension)
    cache = ViewCache(cache_bytes, metrics)
    retriever = TenantRetriever(loader, cache, metrics)
    return Replica(loader, cache, retriever, Compactor(loader, retriever, metrics, AT_ONCE, model=model), metrics)


def _snapshots(
    objects: Objects | None, disk: Path | None, disk_bytes: int, metrics: Metrics, layout: str
) -> ObjectSnapshots | None:
    if objects is None:
        return None
    assert disk is not None
    kept = SnapshotDisk(disk, disk_bytes, layout=layout)
    return ObjectSnapshots(objects, kept, metrics, now=lambda: datetime.now(UTC), layout=layout)


async def question(text: str, *, k: int = 10) -> IndexQuery:
    return IndexQuery((await EMBEDDER.embed([text]))[0], text, k, mode="vector")


async def put_texts(
    store: ChunkStore, tenant_id: TenantId, document_id: str, texts: Sequence[str], *, model: str = EMBEDDER.model
) -> int:
    """A document of these chunks, whose ids change with its content, as in the service."""
    name = f"{tenant_id}/{document_id}/{hash(tuple(texts)):x}"
    chunks = [Chunk(f"{name}/{n}", n, text, 0, len(text)) for n, text in enumerate(texts)]
    document = Document(document_id, "Title", "a.txt", {}, name.encode(), 1)
    return await store.put(tenant_id, document, chunks, to_half(await EMBEDDER.embed(texts)), model)
