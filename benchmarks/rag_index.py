"""One tenant's index: what a search costs, by size and kind, without embedding and HTTP, and what a tenant weighs.

    PYTHONPATH=src:tests python -m benchmarks.rag_index [LARGEST]

Synthetic: vectors of 384 dimensions in clusters whose spread falls from dimension to dimension, texts of words as
frequent as those of a language. Up to LARGEST chunks (100,000 unless said otherwise; 1,000,000 takes ten minutes and
7 GB). Every index is loaded from its files, as a tenant is that comes back. Times of searches are medians of the
thread's CPU. The LangChain row is left out where `langchain-community` is not installed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from contracts.retrieval import Metadata
from contracts.tenant import TenantId
from rag.adapters.faiss_quantized import Effort
from rag.adapters.hybrid_index import HybridIndex
from rag.adapters.index_builder import HybridIndexBuilder, Sizes
from rag.domain.corpus import ChunkRecord
from rag.domain.filters import Filter
from rag.domain.query import ChunkRows, IndexQuery
from rag.domain.vectors import HalfMatrix, Matrix

DIMENSION, K, QUERIES = 384, 10, 100
TENANTS, CHUNKS = 10_000, 200
DISTINCT = 50

_console = Console(width=160)
_random = np.random.default_rng(6)


@dataclass(frozen=True)
class World:
    """Where questions and chunks come from: the same clusters, the same words."""

    centres: Matrix
    spread: NDArray[np.float32]
    words: NDArray[np.str_]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, chunks: int) -> World:
        spread = ((1 + np.arange(DIMENSION)) ** -0.35).astype(np.float32)
        centres = _random.standard_normal((max(20, chunks // 500), DIMENSION), np.float32) * spread
        frequencies = 1 / (10 + np.arange(50_000)) ** 1.05
        words = np.array([f"{number:x}word" for number in range(50_000)])
        return cls(centres, spread, words, np.cumsum(frequencies / frequencies.sum()))

    def vectors(self, count: int) -> Matrix:
        rows = self.centres[_random.integers(0, len(self.centres), count)]
        rows = rows + self.spread * _random.standard_normal((count, DIMENSION), np.float32)
        unit: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def text(self, length: int) -> str:
        return " ".join(self.words[np.searchsorted(self.shares, _random.random(length))])

    def chunks(self, count: int, words: int) -> ChunkRows:
        tenant = TenantId("bench")
        at: list[Metadata] = [{"source": f"s{number}", "date": "2026-01-01"} for number in range(10)]
        records = [
            ChunkRecord(
                tenant, f"chk-{n:024x}", f"doc-{n // 20:024x}", "Title", text, 0, len(text), n, at[n // 20 % 10]
            )
            for n, text in ((n, self.text(words)) for n in range(count))
        ]
        vectors: HalfMatrix = np.empty((count, DIMENSION), np.float16)
        for start in range(0, count, 50_000):
            vectors[start : start + 50_000] = self.vectors(min(50_000, count - start))
        return ChunkRows(records, vectors)


@contextmanager
def kept(index: HybridIndex) -> Iterator[dict[str, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        paths: dict[str, Path] = {}
        for name, content in index.files().items():
            paths[name] = Path(folder, name)
            paths[name].write_bytes(content.to_bytes())
        yield paths


def median(do: Callable[[int], object], times: int = QUERIES) -> float:
    """Milliseconds of this thread's CPU, in which all of a search is done; reads come from the page cache."""
    do(0)
    found = []
    for number in range(times):
        began = time.thread_time()
        do(number)
        found.append((time.thread_time() - began) * 1e3)
    return statistics.median(found)


def nearest(vectors: HalfMatrix, queries: Matrix) -> list[set[int]]:
    """Exact, by matrix products."""
    rows, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for start in range(0, len(vectors), 50_000):
        here = queries @ vectors[start : start + 50_000].astype(np.float32).T
        best = np.argpartition(-here, min(K, here.shape[1] - 1), axis=1)[:, :K]
        rows = np.concatenate([rows, best + start], axis=1)
        scores = np.concatenate([scores, np.take_along_axis(here, best, 1)], axis=1)
    order = np.argsort(-scores, axis=1)[:, :K]
    return [set(found) for found in np.take_along_axis(rows, order, 1).tolist()]


def by_size(largest: int) -> Table:
    table = Table(
        "chunks", "kind", "built", "loaded", "bytes/chunk", "vectors alone", "search by vector", "recall@10", "hybrid",
        "of one source in ten", title=f"A search of a tenant, {DIMENSION} dimensions",
    )  # fmt: skip
    few, many = Sizes(), Sizes(flat=500_000)
    for size, kind, sizes, effort in (
        (200, "exact", few, Effort()),
        (10_000, "exact", few, Effort()),
        (100_000, "flat", few, Effort()),
        (1_000_000, "flat", few, Effort(build_threads=2)),
        (1_000_000, "lists", many, Effort(build_threads=2)),
    ):
        if size <= largest:
            table.add_row(f"{size:,}", kind, *_measured(size, HybridIndexBuilder(sizes, effort)))
    return table


_worlds: dict[int, tuple[World, ChunkRows, Matrix, list[set[int]], list[str]]] = {}


def _made(size: int) -> tuple[World, ChunkRows, Matrix, list[set[int]], list[str]]:
    """One size at a time is kept: two kinds are measured with the same chunks."""
    if size not in _worlds:
        _worlds.clear()
        world = World.of(size)
        chunks, queries = world.chunks(size, 100 if size <= 10_000 else 30), world.vectors(QUERIES)
        _worlds[size] = world, chunks, queries, nearest(chunks.vectors, queries), [world.text(8) for _ in queries]
    return _worlds[size]


def _measured(size: int, builder: HybridIndexBuilder) -> list[str]:
    _, chunks, queries, exact, texts = _made(size)
    began = time.perf_counter()
    built = builder.build(chunks)
    build_s = time.perf_counter() - began
    with kept(built) as paths:
        del built
        loaded = median(lambda _: builder.load(paths, DIMENSION), 5)
        index = builder.load(paths, DIMENSION)
        alone = median(lambda n: index.base.vectors.nearest(queries[n], K, None))
        by_vector = [IndexQuery(query, "", K, mode="vector") for query in queries]
        hybrid = [IndexQuery(query, text, 5) for query, text in zip(queries, texts, strict=True)]
        tenth = Filter(frozenset(["s3"]), after=datetime(2025, 1, 1, tzinfo=UTC))
        filtered = [IndexQuery(query, text, 5, tenth) for query, text in zip(queries, texts, strict=True)]
        hits = 0
        for query, best in zip(by_vector, exact, strict=True):
            hits += len({int(one.record.chunk_id[4:], 16) for one in index.search(query)} & best)
        return [
            f"{build_s:.1f} s",
            f"{loaded:.2f} ms",
            f"{index.nbytes / size:.0f}",
            f"{alone:.3f} ms",
            f"{median(lambda n: index.search(by_vector[n])):.3f} ms",
            f"{hits / (K * QUERIES):.4f}",
            f"{median(lambda n: index.search(hybrid[n])):.3f} ms",
            f"{median(lambda n: index.search(filtered[n])):.3f} ms",
        ]


def langchain_row() -> None:
    """The same 200 and 10,000 vectors in LangChain's FAISS wrapper, asked by vector."""
    try:
        from langchain_community.docstore.in_memory import InMemoryDocstore  # noqa: PLC0415
        from langchain_community.vectorstores import FAISS  # noqa: PLC0415
    except ImportError:
        _console.print("LangChain's FAISS wrapper: left out, langchain-community is not installed")
        return
    import faiss  # noqa: PLC0415
    from langchain_core.documents import Document  # noqa: PLC0415
    from langchain_core.embeddings import FakeEmbeddings  # noqa: PLC0415

    for size in (200, 10_000):
        _, chunks, queries, _, _ = _made(size)
        flat = faiss.IndexFlatIP(DIMENSION)
        flat.add(chunks.vectors.astype(np.float32))
        documents = {str(n): Document(record.text) for n, record in enumerate(chunks.records)}
        store: Any = FAISS(FakeEmbeddings(size=DIMENSION), flat, InMemoryDocstore(documents), {})
        store.index_to_docstore_id = {n: str(n) for n in range(size)}
        took = median(_asking(store, queries))
        _console.print(f"LangChain's FAISS wrapper, {size:,} chunks, by vector: {took:.3f} ms")


def _asking(store: Any, queries: Matrix) -> Callable[[int], object]:
    return lambda number: store.similarity_search_by_vector(queries[number].tolist(), K)


def tenants() -> None:
    """What ten thousand tenants of 200 chunks take; fifty different ones over and over, each loaded anew."""
    world, builder, process = World.of(CHUNKS * DISTINCT), HybridIndexBuilder(), psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        all_paths = []
        for number in range(DISTINCT):
            paths = {}
            for name, content in builder.build(world.chunks(CHUNKS, 100)).files().items():
                paths[name] = Path(folder, f"{number}-{name}")
                paths[name].write_bytes(content.to_bytes())
            all_paths.append(paths)
        before = process.memory_full_info()
        began = time.perf_counter()
        loaded = [builder.load(all_paths[number % DISTINCT], DIMENSION) for number in range(TENANTS)]
        took = (time.perf_counter() - began) / TENANTS * 1e3
        after = process.memory_full_info()
        query = IndexQuery(world.vectors(1)[0], world.text(8), 5)
        for index in loaded:
            index.search(query)
        asked = process.memory_full_info()
    own, own_asked = (used.rss - used.shared - before.rss + before.shared for used in (after, asked))
    _console.print(
        f"{TENANTS:,} tenants of {CHUNKS} chunks: {own / 1e9:.2f} GB of memory, {own / TENANTS / 1e3:.0f} kB each, "
        f"{took:.2f} ms to load one; once all were asked {own_asked / 1e9:.2f} GB, and "
        f"{(asked.shared - before.shared) / 1e9:.2f} GB of mapped files, which the kernel may take back. "
        f"An index says of itself {loaded[0].nbytes / 1e3:.0f} kB"
    )


def main(largest: int) -> None:
    tenants()
    langchain_row()
    _console.print(by_size(largest))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
