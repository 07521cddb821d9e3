"""Makes a tenant's index of its chunks, or of the files that one was kept in; the kind follows from the number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rag.adapters import faiss_quantized
from rag.adapters.array_file import Array, unpack
from rag.adapters.faiss_exact import ExactVectors
from rag.adapters.faiss_quantized import Effort
from rag.adapters.hybrid_index import LEXICAL_KIND, RECORDS_KIND, HybridIndex, Segment, fresh_index
from rag.adapters.index_draft import HybridDraft
from rag.adapters.mapped_file import mapped
from rag.adapters.records import RecordTable
from rag.adapters.scratch import Scratch
from rag.adapters.stemming import Stemmer
from rag.adapters.vector_index import Vectors
from rag.adapters.vector_rows import FileRows, MemoryRows, VectorRows, written_rows
from rag.domain.postings import Analyzer, Postings
from rag.domain.query import ChunkRows
from rag.domain.vectors import HalfMatrix


@dataclass(frozen=True, slots=True)
class Sizes:
    """Up to how many chunks an index is exact, and up to how many each search looks at the codes of all of them."""

    exact: int = 20_000
    flat: int = 1_000_000


@dataclass(frozen=True)
class HybridIndexBuilder:
    """Safe from several threads. `scratch` is a folder for what is made of large tenants; else it lies in memory."""

    sizes: Sizes = field(default_factory=Sizes)
    effort: Effort = field(default_factory=Effort)
    analyzer: Analyzer = field(default_factory=lambda: Analyzer(Stemmer()))
    scratch: Path | None = None

    def build(self, rows: ChunkRows) -> HybridIndex:
        draft = self.begin(rows.vectors.shape[1])
        draft.add(rows)
        return draft.finish()

    def begin(self, dimension: int) -> HybridDraft:
        return HybridDraft(dimension, self.analyzer, self._vectors, Scratch(self.scratch))

    def load(self, files: Mapping[str, Path], dimension: int) -> HybridIndex:
        missing = {"vectors.f16", "lexical.bin", "records.bin"} - files.keys()
        if missing:
            raise ValueError(f"an index lacks {', '.join(sorted(missing))}")
        words, words_on_heap = _arrays(files["lexical.bin"], LEXICAL_KIND)
        records, records_on_heap = _arrays(files["records.bin"], RECORDS_KIND)
        vectors = self._loaded_vectors(files, dimension)
        base = Segment(
            vectors, Postings.from_arrays(words), RecordTable.from_arrays(records),
            vectors.nbytes + words_on_heap + records_on_heap,
        )  # fmt: skip
        if not len(vectors) == len(base.words) == len(base.records):
            raise ValueError("the files of an index are not of one number of chunks")
        return fresh_index(base, self.analyzer, self._vectors, Scratch(self.scratch))

    def _vectors(self, portions: Iterable[HalfMatrix], size: int, dimension: int) -> Vectors:
        if size > self.sizes.exact and self.scratch is not None:
            rows: VectorRows = written_rows(portions, dimension, self.scratch)
        else:
            rows = MemoryRows(np.concatenate([np.empty((0, dimension), np.float16), *portions]))
        if size <= self.sizes.exact:
            return ExactVectors(rows.all())
        make = faiss_quantized.flat if size <= self.sizes.flat else faiss_quantized.lists
        return make(rows, self.effort)

    def _loaded_vectors(self, files: Mapping[str, Path], dimension: int) -> Vectors:
        rows = FileRows(files["vectors.f16"], dimension)
        if "codes.faiss" not in files:
            return ExactVectors(rows.all())
        return faiss_quantized.loaded(files["codes.faiss"].read_bytes(), rows, dimension, self.effort)


def _arrays(path: Path, kind: str) -> tuple[dict[str, Array], int]:
    """The arrays of a file, and how many bytes of memory they take."""
    content, on_heap = mapped(path)
    return unpack(content, kind), on_heap
