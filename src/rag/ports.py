"""What the service's core needs of the outside: an embedding model, the chunk log, and an index over vectors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from contracts.retrieval import ChunkInfo, DocumentInfo, DocumentState, StoredPassage
from contracts.tenant import TenantId
from rag.domain.corpus import Chunk, ChunkTail, Corpus, CorpusVersion, Document, Scanned, Standing
from rag.domain.extracted import Extracted
from rag.domain.jobs import Claim, Job, Part
from rag.domain.query import ChunkRows, IndexQuery, Scored
from rag.domain.snapshot import Content, Copy, Mark, SnapshotFiles, Stale
from rag.domain.vectors import HalfMatrix, Matrix

Take = Callable[[ChunkRows], Awaitable[None]]
"""Is given some chunks after the others."""


class Embedder(Protocol):
    @property
    def model(self) -> str:
        """Names the model and its weights: vectors of two models are never compared."""
        ...

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """What the model reads of one text; the rest is cut off."""
        ...

    async def embed(self, texts: Sequence[str], *, tenant_id: TenantId) -> Matrix:
        """One L2-normalised row a text, not to be written to. Raises OverloadedError when too many texts wait already.

        Tenants who wait are served in turn. Cancelling stops the work on texts not yet begun.
        """
        ...

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, the model's own marks left out. Blocking; safe in any thread."""
        ...

    def forget(self, tenant_id: TenantId) -> None:
        """Drop what is remembered of the tenant's questions."""
        ...


class Extractor(Protocol):
    async def extract(self, filename: str, content: bytes) -> Extracted:
        """Raises InvalidRequestError or BodyTooLargeError with the reason for a file that is refused, OverloadedError
        when too many wait. Cancelling stops the work."""
        ...


class JobStore(Protocol):
    """Jobs, their files where there is no object store, and their finished parts.

    All methods raise DependencyDownError when the store is out of reach. Those with a Claim change nothing once the
    job is another's, or gone.
    """

    async def enqueue(self, tenant_id: TenantId, job: Job, file: bytes | None, *, born: datetime | None = None) -> Job:
        """Keep a job, in the place of one for the same document; or the one that stands, for the same upload again.

        Raises RateLimitedError when too much of the tenant waits, JobBusyError while the document is committed,
        NotFoundError.
        """
        ...

    async def arrived(self, tenant_id: TenantId, job: Job) -> bool:
        """The file of a job that was RECEIVING is there. False where the job is not any more."""
        ...

    async def claim(self, owner: str, lease: timedelta, served: Sequence[TenantId]) -> Claim | None:
        """The job whose turn it is, of whichever tenant that is not suspended: first those not in `served`, then the
        one served longest ago (`served` ends with the latest). It is then PROCESSING."""
        ...

    async def take(self, claim: Claim) -> tuple[Document, bytes | None] | None:
        """The document and its file, if the store has it."""
        ...

    async def renew(self, claim: Claim, lease: timedelta, done: int, total: int | None) -> bool:
        """Hold it longer, and tell how far it is. False: it is not ours any more, or its tenant is suspended."""
        ...

    async def keep_part(self, claim: Claim, part: Part) -> None: ...

    async def parts(self, claim: Claim) -> Sequence[Part]: ...

    async def begin_commit(self, claim: Claim, lease: timedelta) -> bool:
        """From here on nobody withdraws it while the lease holds. False: as from `renew`."""
        ...

    async def finish(self, claim: Claim) -> None:
        """The document is committed: the job goes."""
        ...

    async def fail(self, claim: Claim, reason: str) -> None: ...

    async def release(self, claim: Claim) -> None:
        """Queued again, as if it had not been claimed."""
        ...

    async def withdraw(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> str | None:
        """Remove the document's job, whatever its state; returns its id. Raises JobBusyError while it is committed."""
        ...

    async def job(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> Job | None: ...

    async def open_jobs(self, tenant_id: TenantId) -> frozenset[str]:
        """The ids of the tenant's jobs that may still need their file."""
        ...

    async def jobs(
        self, tenant_id: TenantId, *, after: str, limit: int, state: DocumentState | None, born: datetime | None = None
    ) -> Sequence[Job]:
        """In the order of document ids, those behind `after`; of one state, or of all."""
        ...

    async def chunks(
        self, tenant_id: TenantId, document_id: str, *, after: int, limit: int, born: datetime | None = None
    ) -> Sequence[ChunkInfo]:
        """Of a committed document, those with a greater ordinal than `after`, in order."""
        ...


class ChunkStore(Protocol):
    """Documents and the chunk log. All methods raise DependencyDownError when the store is out of reach.

    With `born` they are about the tenant that was made at that moment, and raise NotFoundError where it has not the id
    any more. `load` tells whose corpus it found: it is shared by all who wait for it.
    """

    async def version(self, tenant_id: TenantId, *, born: datetime | None = None) -> CorpusVersion:
        """The last committed version. Raises NotFoundError for an unknown tenant."""
        ...

    async def load(self, tenant_id: TenantId, model: str, dimension: int) -> Corpus:
        """Every chunk embedded with `model`, in the order of document and place. Raises NotFoundError."""
        ...

    async def scan(self, tenant_id: TenantId, model: str, dimension: int, take: Take, *, portion: int) -> Scanned:
        """The same chunks in the same order, of one moment, but `portion` of them or some more at a time: the next are
        read once these are taken. Raises NotFoundError, and what `take` raises."""
        ...

    async def tail(self, tenant_id: TenantId, after: CorpusVersion, model: str, dimension: int) -> ChunkTail | None:
        """What happened since `after`, as of one moment. None where the log does not reach back so far, or where it is
        another tenant's: then only `load` helps. Raises NotFoundError."""
        ...

    async def standing(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> Standing | None: ...

    async def put(
        self,
        tenant_id: TenantId,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: HalfMatrix,
        model: str,
        *,
        born: datetime | None = None,
    ) -> int:
        """Keep a document, in the place of one with the same id, and return its sequence: all committed, or nothing.

        `vectors` has one row a chunk; the chunks' ordinals count from 0. Raises NotFoundError for an unknown tenant.
        """
        ...

    async def delete(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> bool:
        """False if there is no such document; then the sequence stays. Raises NotFoundError for an unknown tenant."""
        ...

    async def document(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> DocumentInfo | None: ...

    async def passages(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> list[StoredPassage]:
        """A document's chunks in order; none for an unknown one."""
        ...

    async def documents(
        self, tenant_id: TenantId, *, after: str, limit: int, born: datetime | None = None
    ) -> list[DocumentInfo]:
        """In the order of their ids, those behind `after` (`""`: from the first)."""
        ...


class Marks(Protocol):
    """How far each tenant's log is compacted. All methods raise DependencyDownError when the store is out of reach."""

    async def mark(self, tenant_id: TenantId, model: str) -> Mark | None: ...

    async def advance(self, tenant_id: TenantId, model: str, mark: Mark) -> bool:
        """Set the mark, unless one that is as far is there: then False. Raises NotFoundError where the tenant that was
        born when the mark says is gone, or going."""
        ...

    async def discredit(self, tenant_id: TenantId, model: str, digest: bytes) -> None:
        """The snapshot with this manifest cannot be used: let another be due at once."""
        ...

    async def abandoned(self, tenant_id: TenantId, model: str) -> Sequence[str]:
        """Other models with a mark of which no chunk is left."""
        ...

    async def drop(self, tenant_id: TenantId, model: str) -> None:
        """Remove the mark."""
        ...

    async def trim(self, tenant_id: TenantId, upto: CorpusVersion, *, keep: int) -> None:
        """Forget all but the newest `keep` tombstones up to a version: from before them `tail` is not told any more."""
        ...

    async def claim(self, tenant_id: TenantId, lease: timedelta) -> bool:
        """Whether the compaction of this tenant is the caller's alone for so long."""
        ...

    async def release(self, tenant_id: TenantId, born: datetime) -> None: ...

    async def due(
        self, model: str, *, writes: int, age: timedelta, stored_from: int | None, limit: int
    ) -> Sequence[TenantId]:
        """Tenants that nobody compacts now with more than `writes` writes behind their mark, or with fewer behind one
        older than `age` (both grow with the tenant); or of `stored_from` chunks with a mark without a snapshot, or one
        that was discredited. None: there are no snapshots."""
        ...

    async def stale(self, model: str, copies: Sequence[Copy]) -> Sequence[Stale]:
        """Those of a replica's copies that are not current, of whichever tenants; a tenant may come twice."""
        ...


class SnapshotStore(Protocol):
    """Snapshots as files, and copies of them on this machine's disk.

    All methods raise DependencyDownError, within a bound, when the store is out of reach.
    """

    async def fetch(self, tenant_id: TenantId, model: str, mark: Mark) -> SnapshotFiles | None:
        """The files on this machine's disk, every byte verified. None where they are not there any more.

        A copy on the disk that is damaged is fetched anew. Raises DamagedSnapshotError where the original is, and
        OSError when the disk takes no more files.
        """
        ...

    async def write(
        self,
        tenant_id: TenantId,
        model: str,
        version: CorpusVersion,
        shape: tuple[int, int],
        files: Mapping[str, Content],
    ) -> Mark | None:
        """Keep the files of an index of shape (chunks, dimension). None where another writer has this version.

        Not to be found before the mark is set.
        """
        ...

    async def sweep(self, tenant_id: TenantId, model: str, mark: Mark) -> None:
        """Remove everything that is older than the snapshot at `mark`, and all of earlier tenants of the name."""
        ...

    async def discard_orphan(self, tenant_id: TenantId, model: str, version: CorpusVersion) -> None:
        """Remove what lies at this version, where no mark names it, if its writer must be dead by now."""
        ...

    async def discard(self, tenant_id: TenantId, model: str, version: CorpusVersion) -> None:
        """Remove what lies at this version."""
        ...

    async def discard_model(self, tenant_id: TenantId, model: str) -> None: ...

    async def held(self) -> Sequence[tuple[TenantId, bytes]]:
        """Whose snapshots this machine's disk has copies of, with their digests."""
        ...

    async def forget(self, tenant_id: TenantId) -> None:
        """Remove what this machine's disk holds of the tenant."""
        ...


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


class Reranker(Protocol):
    """A model that reads the question and a passage together; slower and finer than any index."""

    @property
    def depth(self) -> int:
        """How many of the best it is to be asked about; 0: it is not to be asked."""
        ...

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """One a text, the greater the better. Blocking, for one thread at a time."""
        ...
