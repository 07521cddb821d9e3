"""An index over one tenant's chunks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rag.domain.query import ChunkRows, IndexQuery, Scored
from rag.domain.snapshot import Content


class TenantIndex(Protocol):
    """One tenant's chunks, to be found by meaning and by words. Immutable: several threads may search it at once.

    Rows stand in the order in which they came: built first, then each change's. Equal scores keep that order; where
    both rankings are fused, equal sums are first told apart by the ranking of words.
    """

    @property
    def nbytes(self) -> int:
        """Memory it keeps: what a cache weighs it by. Files that are mapped or read as needed are not counted."""
        ...

    def __len__(self) -> int:
        """Chunks that can be found."""
        ...

    def search(self, query: IndexQuery) -> list[Scored]:
        """The best min(k, n) chunks of the n that the filter allows, best first. Blocking: CPU, and reads of files."""
        ...

    @property
    def approximation(self) -> str | None:
        """How vectors are searched where a search may miss some of the nearest; None where it finds them all."""
        ...

    def recall(self, query: IndexQuery) -> float:
        """The share (0…1) of the query's k nearest chunks that a search by vector finds. Blocking, and slow: it reads
        every vector. Raises ValueError for a query without one."""
        ...

    def with_changes(self, added: ChunkRows, removed: frozenset[str]) -> TenantIndex:
        """Another index, which shares most of its memory with this one. Costs in proportion to all changes since it was
        built: a few thousand at most, then it is to be compacted.

        `removed` are chunk ids that go first, unknown ones allowed; a chunk in `added` takes the place of one with the
        same id. So the same changes may be made twice.
        """
        ...

    def compacted(self) -> TenantIndex:
        """The same chunks built anew: as small, quick and exact as their number allows. Blocking, seconds for 1M."""
        ...

    def files(self) -> Mapping[str, Content]:
        """What `IndexBuilder.load` makes it of again. Raises ValueError where changes are not compacted."""
        ...


class IndexDraft(Protocol):
    def add(self, rows: ChunkRows) -> None:
        """The chunks that come next; the ids of all are different. Blocking. Raises OSError where the disk is full."""
        ...

    def finish(self) -> TenantIndex:
        """Blocking. Raises OSError where the disk is full."""
        ...


class IndexBuilder(Protocol):
    def begin(self, dimension: int) -> IndexDraft:
        """An index of any number of chunks, portion after portion, of which memory holds one or two."""
        ...

    def build(self, rows: ChunkRows) -> TenantIndex:
        """Blocking. The chunk ids are all different."""
        ...

    def load(self, files: Mapping[str, Path], dimension: int) -> TenantIndex:
        """An index from what `files()` gave, each kept as one file whose bytes the caller has verified.

        The files may be removed afterwards, but not written to: parts of them are read at searches.
        Raises ValueError where they are not such files, of this dimension and of this version of the format.
        """
        ...
