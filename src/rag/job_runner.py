"""Works on ingestion jobs, of one tenant after the other, behind the requests that brought them.

A job is held by a lease. Killed at any moment, this replica leaves a job whose lease ends and that another one, or the
next one here, goes on with: what was embedded is kept in parts, and the document appears in one piece or not at all.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import numpy as np

from contracts.errors import (
    AtriumError,
    BodyTooLargeError,
    DependencyDownError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
)
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.domain.corpus import Document
from rag.domain.jobs import Claim, Part
from rag.domain.vectors import HalfMatrix, Matrix, to_half
from rag.ingestion.pipeline import Pipeline, ToEmbed
from rag.ports import ChunkStore, JobStore
from rag.uploads import Uploads

JOBS_AT_ONCE = 2
"""While one is being embedded the next is read."""
LEASE = timedelta(seconds=30)
RENEW_S = 5.0
COMMIT_LEASE = timedelta(seconds=90)
"""A commit is bounded by the store to less than half of it."""
POLL_S = 2.0
"""How soon a job of another replica is seen; one's own begins at once."""
PAUSE_S = 5.0
"""After a store was out of reach."""
PART_CHUNKS = 128
"""What a crash may cost: some seconds of embedding."""
PARTS_AT_ONCE = 2
"""One is embedded while the one before it is being kept."""
MAX_ATTEMPTS = 5
"""A file whose work ends with the process each time is not tried for ever."""
SERVED_REMEMBERED = 1_000

_logger = logging.getLogger("atrium.ingestion")


class LostError(Exception):
    """The job is another's by now, or was withdrawn, or its tenant is suspended."""


@dataclass(slots=True)
class _Progress:
    done: int = 0
    total: int | None = None


class JobRunner:
    def __init__(
        self, jobs: JobStore, uploads: Uploads, store: ChunkStore, pipeline: Pipeline, metrics: Metrics
    ) -> None:
        self._jobs = jobs
        self._uploads = uploads
        self._store = store
        self._pipeline = pipeline
        self._metrics = metrics
        self._owner = f"rag-{secrets.token_hex(8)}"
        self._wake = asyncio.Event()
        self._served: OrderedDict[TenantId, None] = OrderedDict()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Jobs under way when this is left are queued again."""
        workers = [asyncio.create_task(self._work(), name=f"ingestion {at}") for at in range(JOBS_AT_ONCE)]
        try:
            yield self
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def wake(self) -> None:
        """There is a new job."""
        self._wake.set()

    async def run_one(self) -> bool:
        """Take the next job and see it through; False when there is none."""
        claim = await self._jobs.claim(self._owner, LEASE, list(self._served))
        if claim is None:
            return False
        self._note_served(claim.tenant_id)
        progress = _Progress()
        work = asyncio.ensure_future(self._ingest(claim, progress))
        renewal = asyncio.create_task(self._renew(claim, progress, work))
        try:
            await asyncio.wait({work})
            await self._settle(claim, work)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await asyncio.shield(self._release(claim))
            raise
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
        return True

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            try:
                if await self.run_one():
                    continue
                pause = POLL_S
            except DependencyDownError:
                pause = PAUSE_S
            except Exception:  # the queue must not stop for good
                _logger.exception("an ingestion job broke off")
                pause = PAUSE_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _ingest(self, claim: Claim, progress: _Progress) -> None:
        """Raises LostError, and InvalidRequestError or BodyTooLargeError with the reason for a file that is refused."""
        taken = await self._jobs.take(claim)
        if taken is None:
            raise LostError
        document, in_row = taken
        if claim.attempts > MAX_ATTEMPTS:
            raise InvalidRequestError(f"its processing was interrupted {MAX_ATTEMPTS} times")
        content = await self._uploads.file(claim.tenant_id, claim.job_id, in_row)
        if content is None:
            raise InvalidRequestError("the upload broke off: send it again")
        found = await self._pipeline.read(claim.tenant_id, document, content)
        progress.total = len(found)
        await self._tell(claim, progress)
        vectors = await self._embedded(claim, found, progress)
        await self._commit(claim, document, found, vectors)

    async def _embedded(self, claim: Claim, found: Sequence[ToEmbed], progress: _Progress) -> HalfMatrix:
        """Part after part, and the next one while the last is being kept: the model does not wait for the store. Where
        one fails, those under way are still kept."""
        kept = {(part.first, part.texts_hash): part.vectors for part in await self._jobs.parts(claim)}
        rows: dict[int, HalfMatrix] = {}
        left = list(range(0, len(found), PART_CHUNKS))[::-1]

        async def worker() -> None:
            try:
                while left:
                    first = left.pop()
                    wanted = found[first : first + PART_CHUNKS]
                    rows[first] = await self._part(claim, first, wanted, kept)
                    progress.done += len(wanted)
                    await self._tell(claim, progress)
            except Exception:
                left.clear()
                raise

        outcomes = await asyncio.gather(*(worker() for _ in range(PARTS_AT_ONCE)), return_exceptions=True)
        for failed in filter(None, outcomes):
            raise failed
        return np.concatenate([rows[first] for first in sorted(rows)])

    async def _part(
        self, claim: Claim, first: int, wanted: Sequence[ToEmbed], kept: Mapping[tuple[int, bytes], bytes]
    ) -> HalfMatrix:
        texts_hash = self._pipeline.texts_hash(wanted)
        vectors = kept.get((first, texts_hash))
        if vectors is not None:
            return np.frombuffer(vectors, dtype="<f2").reshape(len(wanted), -1).astype(np.float16)
        half = to_half(await self._embed(claim.tenant_id, wanted))
        await self._jobs.keep_part(claim, Part(first, texts_hash, half.astype("<f2").tobytes()))
        return half

    async def _embed(self, tenant_id: TenantId, wanted: Sequence[ToEmbed]) -> Matrix:
        """Waits where too many texts wait already: nobody is held up by a job's patience."""
        while True:
            try:
                return await self._pipeline.embed(tenant_id, wanted)
            except OverloadedError:
                await asyncio.sleep(PAUSE_S)

    async def _commit(self, claim: Claim, document: Document, found: Sequence[ToEmbed], vectors: HalfMatrix) -> None:
        if not await self._jobs.begin_commit(claim, COMMIT_LEASE):
            raise LostError
        chunks = [item.chunk for item in found]
        standing = await self._store.standing(claim.tenant_id, document.document_id, born=claim.born)
        # A job that was cut off between its commit and its end has nothing left to do.
        if standing is None or not standing.answers(document, self._pipeline.model):
            await self._store.put(claim.tenant_id, document, chunks, vectors, self._pipeline.model, born=claim.born)
            self._metrics.count(names.CHUNKS_INGESTED, len(chunks), tenant=str(claim.tenant_id))
        await self._jobs.finish(claim)

    async def _settle(self, claim: Claim, work: asyncio.Future[None]) -> None:
        """What became of it. Raises DependencyDownError while a store is out of reach: the lease then ends."""
        error = None if work.cancelled() else work.exception()
        if work.cancelled() or isinstance(error, LostError | NotFoundError):
            outcome = "cancelled"
            await self._release(claim)  # of a suspended tenant it waits; what is not ours any more stays as it is
        elif error is None:
            outcome = "ready"
        elif isinstance(error, InvalidRequestError | BodyTooLargeError):
            outcome = "failed"
            await self._jobs.fail(claim, error.message)
        elif isinstance(error, AtriumError):
            await self._release(claim)
            raise DependencyDownError(error.message) from error
        else:
            await self._unexpected(claim, error)
            return
        self._metrics.count(names.INGEST_JOBS, reason=outcome)
        if outcome != "cancelled":  # else another replica may have it, and whoever withdrew it has seen to the file
            await self._uploads.discard(claim.tenant_id, claim.job_id)

    async def _unexpected(self, claim: Claim, error: BaseException) -> None:
        """Counted as an attempt: its lease ends, and somebody tries again."""
        log(
            _logger,
            logging.ERROR,
            "an ingestion job broke off",
            tenant_id=str(claim.tenant_id),
            document_id=claim.document_id,
            attempt=claim.attempts,
            error=type(error).__name__,
        )
        if claim.attempts >= MAX_ATTEMPTS:
            await self._jobs.fail(claim, "an internal error")

    async def _renew(self, claim: Claim, progress: _Progress, work: asyncio.Future[None]) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._tell(claim, progress)
            except LostError:
                work.cancel()
                return
            except DependencyDownError:
                continue  # the lease may still hold; the work itself finds out

    async def _tell(self, claim: Claim, progress: _Progress) -> None:
        if not await self._jobs.renew(claim, LEASE, progress.done, progress.total):
            raise LostError

    async def _release(self, claim: Claim) -> None:
        try:
            await self._jobs.release(claim)
        except DependencyDownError:
            return  # the lease ends by itself

    def _note_served(self, tenant_id: TenantId) -> None:
        self._served.pop(tenant_id, None)
        self._served[tenant_id] = None
        while len(self._served) > SERVED_REMEMBERED:
            self._served.popitem(last=False)
