"""How well a tenant's index finds what people marked as relevant: nDCG@10 by vectors, by words, and fused.

    PYTHONPATH=src:tests python -m benchmarks.rag_quality FOLDER [CACHE]

FOLDER holds a folder a set: `corpus.jsonl.gz` and `queries.jsonl.gz` with `{"_id", "text"}` a line, and `qrels.tsv`
with query id, document id and gain. A document is one chunk. The embeddings are the service's own: of the reference
model in 32 bits, and of its int8 export, which is what the service runs; CACHE is a folder that keeps them from one run
to the next.
"""

from __future__ import annotations

import gzip
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from contracts.tenant import TenantId
from rag.adapters.embedding_model import EmbeddingModel
from rag.adapters.export_cache import ExportCache, key_of
from rag.adapters.index_builder import HybridIndexBuilder
from rag.adapters.onnx_model import OnnxModel
from rag.adapters.sentence_transformer import ReferenceModel
from rag.domain.corpus import ChunkRecord
from rag.domain.query import ChunkRows, IndexQuery, Mode
from rag.domain.vectors import Matrix, to_half
from rag.ports import TenantIndex
from rag.settings import bulk_threads, bundled_model, export_cache

K = 10
MOST_LOST = 0.005
"""Of nDCG, by the int8 export."""
MODES: tuple[Mode, ...] = ("vector", "lexical", "hybrid")


@dataclass(frozen=True)
class LabelledSet:
    name: str
    corpus: dict[str, str]
    queries: dict[str, str]
    gains: dict[str, dict[str, float]]

    @classmethod
    def read(cls, folder: Path) -> LabelledSet:
        gains: dict[str, dict[str, float]] = defaultdict(dict)
        for line in (folder / "qrels.tsv").read_text().splitlines():
            query, document, gain = line.split()
            gains[query][document] = float(gain)
        return cls(folder.name, _texts(folder / "corpus.jsonl.gz"), _texts(folder / "queries.jsonl.gz"), gains)


def _texts(path: Path) -> dict[str, str]:
    with gzip.open(path, "rt") as lines:
        return {row["_id"]: row["text"] for row in map(json.loads, lines)}


def ndcg(found: Sequence[str], gains: dict[str, float]) -> float:
    """Discounted cumulative gain of the first ten over the best there could be (Järvelin and Kekäläinen, 2002)."""
    ideal = sorted(gains.values(), reverse=True)
    return _discounted([gains.get(document, 0.0) for document in found]) / _discounted(ideal)


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / log2(place + 2) for place, gain in enumerate(gains[:K]))


Backend = Literal["fp32", "int8"]
REFERENCE: tuple[Backend, Backend] = ("fp32", "fp32")
SERVED: tuple[Backend, Backend] = ("int8", "int8")
PATHS: tuple[tuple[Backend, Backend], ...] = (REFERENCE, ("fp32", "int8"), SERVED)
"""What embeds the chunks, and what the questions. The mixed one is of chunks from before a change of the backend."""


def open_model(backend: Backend) -> EmbeddingModel:
    if backend == "fp32":
        return ReferenceModel(bundled_model(), bulk_threads=bulk_threads())
    return OnnxModel(ExportCache(export_cache()).read(key_of(Path(bundled_model()))))


class Embeddings:
    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._models: dict[Backend, EmbeddingModel] = {}

    def of(self, name: str, texts: Sequence[str], backend: Backend) -> Matrix:
        path = self._cache / f"{name}-{backend}.npy" if self._cache else None
        if path and path.exists():
            kept: Matrix = np.load(path, allow_pickle=False)
            return kept
        model = self._models.setdefault(backend, open_model(backend))
        made = np.zeros((len(texts), model.dimension), np.float32)
        by_length = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(texts), 32):
            batch = by_length[start : start + 32]
            made[batch] = model.encode([texts[place] for place in batch], True)
        if path:
            np.save(path, made)
        return made


def index_of(labelled: LabelledSet, vectors: Matrix) -> TenantIndex:
    tenant = TenantId("bench")
    records = [ChunkRecord(tenant, name, name, name, text, 0, len(text)) for name, text in labelled.corpus.items()]
    return HybridIndexBuilder().build(ChunkRows(records, to_half(vectors)))


def measure(
    labelled: LabelledSet, embeddings: Embeddings, chunks: Backend, questions: Backend, table: Table
) -> dict[Mode, float]:
    index = index_of(labelled, embeddings.of(f"{labelled.name}-corpus", list(labelled.corpus.values()), chunks))
    vectors = embeddings.of(f"{labelled.name}-queries", list(labelled.queries.values()), questions)
    scores: dict[Mode, float] = {}
    times: list[float] = []
    for mode in MODES:
        of_each = []
        for (name, text), vector in zip(labelled.queries.items(), vectors, strict=True):
            if name not in labelled.gains:
                continue
            began = time.perf_counter()
            found = index.search(IndexQuery(vector, text, K, mode=mode))
            times.append(time.perf_counter() - began)
            of_each.append(ndcg([one.record.chunk_id for one in found], labelled.gains[name]))
        scores[mode] = statistics.mean(of_each)
    median = f"{statistics.median(times[-len(of_each) :]) * 1e3:.2f} ms"
    sizes = (str(len(index)), str(len(of_each)))
    path = f"{chunks}, {questions}"
    table.add_row(labelled.name, *sizes, path, *(f"{scores[mode]:.4f}" for mode in MODES), median)
    return scores


def main(folder: Path, cache: Path | None) -> None:
    table = Table("set", "chunks", "questions", "embedded by", *MODES, "hybrid, median", title=f"nDCG@{K}")
    worst = 0.0
    embeddings = Embeddings(cache)
    for path in sorted(folder.iterdir()):
        if (path / "qrels.tsv").is_file():
            labelled = LabelledSet.read(path)
            scores = {path: measure(labelled, embeddings, *path, table) for path in PATHS}
            worst = max(worst, *(scores[REFERENCE][mode] - scores[SERVED][mode] for mode in MODES))
    Console().print(table)
    print(f"what is served loses at most {worst:.4f} (bound {MOST_LOST})")
    sys.exit(worst > MOST_LOST)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
