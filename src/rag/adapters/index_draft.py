"""An index while it is being made of a log that is longer than memory: portion after portion, each analysed as it comes
and then put down on the disk, and at the end all of them as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rag.adapters.hybrid_index import LEXICAL_KIND, RECORDS_KIND, VECTORS_KIND, HybridIndex, Make, index_of
from rag.adapters.records import RecordTable, joined_records
from rag.adapters.scratch import Scratch
from rag.domain.postings import Analyzer, Postings, joined
from rag.domain.query import ChunkRows
from rag.domain.vectors import HalfMatrix


@dataclass(frozen=True, slots=True)
class _Portion:
    vectors: HalfMatrix
    words: Postings
    records: RecordTable

    def put_down(self, scratch: Scratch) -> _Portion:
        """The same, where the kernel may take its memory."""
        dimension = self.vectors.shape[1]
        numbers = {"vectors": self.vectors.reshape(-1).view(np.uint16)}
        found = scratch.put_down(VECTORS_KIND, numbers)["vectors"]
        return _Portion(
            found.view(np.float16).reshape(-1, dimension),
            Postings.from_arrays(scratch.put_down(LEXICAL_KIND, self.words.arrays())),
            RecordTable.from_arrays(scratch.put_down(RECORDS_KIND, self.records.arrays())),
        )


class HybridDraft:
    """What is added last stays in memory until `finish`, and so does all of a small tenant."""

    def __init__(self, dimension: int, analyzer: Analyzer, make: Make, scratch: Scratch) -> None:
        self._dimension = dimension
        self._analyzer = analyzer
        self._make = make
        self._scratch = scratch
        self._portions: list[_Portion] = []

    def add(self, rows: ChunkRows) -> None:
        if self._portions:
            self._portions[-1] = self._portions[-1].put_down(self._scratch)
        words = Postings.of((record.text for record in rows.records), self._analyzer)
        self._portions.append(_Portion(rows.vectors, words, RecordTable.of(rows.records)))

    def finish(self) -> HybridIndex:
        if not self._portions:
            self.add(ChunkRows((), np.empty((0, self._dimension), np.float16)))
        portions, room = self._portions, self._scratch.empty
        words = joined([one.words for one in portions], room)
        records = joined_records([one.records for one in portions], room)
        vectors = self._make((one.vectors for one in portions), len(records), self._dimension)
        return index_of(vectors, words, records, self._analyzer, self._make, self._scratch)
