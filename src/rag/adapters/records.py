"""The chunks of an index as flat arrays: a record is made of its bytes when it is found, not kept as objects.

200 chunks as Python objects take twice their text; as one run of bytes they take their text, and can lie in a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from contracts.retrieval import Metadata
from contracts.tenant import TenantId
from rag.adapters.array_file import Array, MalformedFileError
from rag.adapters.scratch import runs
from rag.domain.corpus import ChunkRecord
from rag.domain.filters import Filter, date_of, microseconds, source_of, tags_of
from rag.domain.postings import Empty, Mask, Rows

_NO_DATE = np.iinfo(np.int64).min
_NAMES = (
    "bodies", "body_ends", "documents", "ids", "id_rows", "heads", "head_ends", "names", "sources", "dates", "tags",
    "tagged",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class RecordTable:
    """`bodies` holds a JSON list a chunk, `heads` one a document: a document's title and metadata are kept once.

    `documents[row]` is the chunk's document; `ids` are hashes of chunk ids, ascending, and `id_rows` their rows.
    By document: hashes of its id (`names`) and source, its date in microseconds; `tagged[i]` has the tag `tags[i]`.
    """

    bodies: Array
    body_ends: Array
    documents: Array
    ids: Array
    id_rows: Array
    heads: Array
    head_ends: Array
    names: Array
    sources: Array
    dates: Array
    tags: Array
    tagged: Array

    @classmethod
    def of(cls, records: Sequence[ChunkRecord]) -> RecordTable:
        heads: dict[bytes, int] = {}
        seen: dict[tuple[str, str, int], int] = {}
        documents, facets = np.zeros(len(records), np.uint32), _Facets()
        for row, record in enumerate(records):
            # One upload's chunks share their metadata object: it is written out once, not for each of them.
            key = (record.document_id, record.title, id(record.metadata))
            if key not in seen:
                head = _head(record)
                if head not in heads:
                    heads[head] = len(heads)
                    facets.add(record.document_id, record.metadata)
                seen[key] = heads[head]
            documents[row] = seen[key]
        bodies, body_ends = _run(map(_body, records))
        head_bytes, head_ends = _run(heads)
        ids, id_rows = _by_id(np.array([_hash(record.chunk_id) for record in records], np.uint64))
        return cls(bodies, body_ends, documents, ids, id_rows, head_bytes, head_ends, *facets.arrays())

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> RecordTable:
        """Raises MalformedFileError where the arrays are not what `arrays` gives."""
        if arrays.keys() != set(_NAMES):
            raise MalformedFileError("these are no records")
        table = cls(**arrays)
        heads = len(table.head_ends)
        if not (
            len(table.body_ends) == len(table.documents) == len(table.ids) == len(table.id_rows)
            and heads == len(table.names) == len(table.sources) == len(table.dates)
            and len(table.tags) == len(table.tagged)
        ):
            raise MalformedFileError("the records' arrays are not of one length")
        return table

    def arrays(self) -> dict[str, Array]:
        return {name: getattr(self, name) for name in _NAMES}

    def __len__(self) -> int:
        return len(self.body_ends)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays().values())

    def record(self, row: int) -> ChunkRecord:
        tenant_id, chunk_id, start, end, seq, heading, text = orjson.loads(_piece(self.bodies, self.body_ends, row))
        document_id, title, metadata = json.loads(
            str(_piece(self.heads, self.head_ends, int(self.documents[row])), "utf-8")
        )
        return ChunkRecord(TenantId(tenant_id), chunk_id, document_id, title, text, start, end, seq, metadata, heading)

    def texts(self, rows: Iterable[int]) -> Iterable[str]:
        for row in rows:
            text: str = orjson.loads(_piece(self.bodies, self.body_ends, row))[6]
            yield text

    def rows_of(self, chunk_ids: Iterable[str]) -> set[int]:
        """Where the chunks stand; unknown ids are passed over."""
        rows: set[int] = set()
        for chunk_id in chunk_ids:
            sought = np.uint64(_hash(chunk_id))
            first, last = np.searchsorted(self.ids, sought, "left"), np.searchsorted(self.ids, sought, "right")
            rows.update(row for row in self.id_rows[first:last].tolist() if self.record(row).chunk_id == chunk_id)
        return rows

    def allowed(self, asked: Filter) -> Mask:
        """One value a row: whether its document answers the filter."""
        documents = np.ones(len(self.head_ends), np.bool_)
        if asked.document_ids is not None:
            documents &= np.isin(self.names, _hashes(asked.document_ids))
        if asked.sources is not None:
            documents &= np.isin(self.sources, _hashes(asked.sources))
        if asked.tags is not None:
            tagged = np.zeros(len(documents), np.bool_)
            tagged[self.tagged[np.isin(self.tags, _hashes(asked.tags))]] = True
            documents &= tagged
        if asked.after is not None:
            documents &= (self.dates >= microseconds(asked.after)) & (self.dates != _NO_DATE)
        if asked.before is not None:
            documents &= (self.dates < microseconds(asked.before)) & (self.dates != _NO_DATE)
        allowed: Mask = documents[self.documents]
        return allowed

    def kept(self, rows: Rows, empty: Empty = np.empty) -> RecordTable:
        """Of these rows only (ascending), numbered anew from 0. No text is read. `empty` gives the room."""
        if len(rows) == len(self):
            return self
        used, documents = np.unique(self.documents[rows], return_inverse=True)
        bodies, body_ends = _kept_run(self.bodies, self.body_ends, rows, empty)
        heads, head_ends = _kept_run(self.heads, self.head_ends, used, empty)
        number = np.full(len(self), -1, np.int64)
        number[rows] = np.arange(len(rows))
        id_rows = number[self.id_rows]
        stays = id_rows >= 0
        place = np.full(len(self.head_ends), -1, np.int64)
        place[used] = np.arange(len(used))
        tagged = place[self.tagged]
        return RecordTable(
            bodies, body_ends, documents.astype(np.uint32), self.ids[stays], id_rows[stays].astype(np.uint32),
            heads, head_ends, self.names[used], self.sources[used], self.dates[used],
            self.tags[tagged >= 0], tagged[tagged >= 0].astype(np.uint32),
        )  # fmt: skip


def joined_records(tables: Sequence[RecordTable], empty: Empty = np.empty) -> RecordTable:
    """One after another: the rows of a table are numbered on from those of the tables before it."""
    tables = [table for table in tables if len(table)] or tables[:1]
    if len(tables) == 1:
        return tables[0]
    rows = _offsets(len(table) for table in tables)
    heads = _offsets(len(table.head_ends) for table in tables)
    ids = np.concatenate([table.ids for table in tables])
    order = np.argsort(ids, kind="stable")
    return RecordTable(
        bodies=_end_to_end([table.bodies for table in tables], empty),
        body_ends=_shifted([table.body_ends for table in tables], _offsets(len(table.bodies) for table in tables)),
        documents=_shifted([table.documents for table in tables], heads),
        ids=ids[order],
        id_rows=_shifted([table.id_rows for table in tables], rows)[order],
        heads=_end_to_end([table.heads for table in tables], empty),
        head_ends=_shifted([table.head_ends for table in tables], _offsets(len(table.heads) for table in tables)),
        names=np.concatenate([table.names for table in tables]),
        sources=np.concatenate([table.sources for table in tables]),
        dates=np.concatenate([table.dates for table in tables]),
        tags=np.concatenate([table.tags for table in tables]),
        tagged=_shifted([table.tagged for table in tables], heads),
    )


class _Facets:
    """What filters look at, by document."""

    def __init__(self) -> None:
        self._names: list[int] = []
        self._sources: list[int] = []
        self._dates: list[int] = []
        self._tags: list[int] = []
        self._tagged: list[int] = []

    def add(self, document_id: str, metadata: Metadata) -> None:
        source, date = source_of(metadata), date_of(metadata)
        for tag in sorted(tags_of(metadata)):
            self._tags.append(_hash(tag))
            self._tagged.append(len(self._names))
        self._names.append(_hash(document_id))
        self._sources.append(0 if source is None else _hash(source))
        self._dates.append(_NO_DATE if date is None else date)

    def arrays(self) -> tuple[Array, ...]:
        return (
            np.array(self._names, np.uint64),
            np.array(self._sources, np.uint64),
            np.array(self._dates, np.int64),
            np.array(self._tags, np.uint64),
            np.array(self._tagged, np.uint32),
        )


def _body(record: ChunkRecord) -> bytes:
    return orjson.dumps(
        [str(record.tenant_id), record.chunk_id, record.start, record.end, record.seq, record.heading, record.text]
    )


def _head(record: ChunkRecord) -> bytes:
    # Not orjson: it knows no integer beyond 64 bits.
    return json.dumps([record.document_id, record.title, dict(record.metadata)]).encode()


def _hash(text: str) -> int:
    """64 bits; 0 stands for nothing."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1


def _hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    return np.array([_hash(text) for text in texts], np.uint64)


def _by_id(hashes: NDArray[np.uint64]) -> tuple[Array, Array]:
    order = np.argsort(hashes, kind="stable")
    return hashes[order], order.astype(np.uint32)


def _run(pieces: Iterable[bytes | memoryview]) -> tuple[Array, Array]:
    """All of them in one run of bytes, and where each ends."""
    listed = list(pieces)
    ends = np.cumsum(np.array([len(piece) for piece in listed], np.int64), dtype=np.int64)
    return np.frombuffer(b"".join(listed), np.uint8), ends


def _kept_run(run: Array, ends: Array, places: Rows, empty: Empty) -> tuple[Array, Array]:
    """The pieces at these places (ascending), end to end."""
    kept = np.cumsum(np.diff(ends, prepend=0)[places], dtype=np.int64)
    pieces, filled = empty(int(kept[-1]) if len(kept) else 0, np.uint8), 0
    for first, last in runs(places):
        piece = run[int(ends[first - 1]) if first else 0 : int(ends[last - 1])]
        pieces[filled : filled + len(piece)] = piece
        filled += len(piece)
    return pieces, kept


def _end_to_end(arrays: Sequence[Array], empty: Empty) -> Array:
    filled, whole = 0, empty(sum(map(len, arrays)), arrays[0].dtype)
    for one in arrays:
        whole[filled : filled + len(one)] = one
        filled += len(one)
    return whole


def _piece(run: Array, ends: Array, place: int) -> memoryview:
    return memoryview(run.data)[int(ends[place - 1]) if place else 0 : int(ends[place])]


def _offsets(sizes: Iterable[int]) -> list[int]:
    return [0, *np.cumsum(list(sizes)).tolist()]


def _shifted(arrays: Sequence[Array], offsets: Sequence[int]) -> Array:
    return np.concatenate(
        [(array + np.asarray(offset, array.dtype)) for array, offset in zip(arrays, offsets, strict=False)]
    )
