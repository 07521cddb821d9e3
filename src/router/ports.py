"""What the router needs of the outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol

from contracts.chat import TurnEvent, TurnRequest
from contracts.classification import ClassifyRequest, ClassifyResponse
from contracts.context import TenantContext
from contracts.pools import PoolState
from contracts.retrieval import (
    ChunkPage,
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    DocumentState,
    IngestRequest,
    SearchRequest,
    SearchResponse,
    StoredPassage,
)
from contracts.tenant import TenantId
from router.domain.admission import Admission, Ask, Limits, LimitState, Refusal, Used
from router.domain.moderation import Moderated
from router.domain.pool_share import Demand
from router.domain.pricing import Price, PriceList
from router.domain.recent_request import RecentRequest
from router.domain.signing_keys import KeySet
from tenancy.audit import Actor
from tenancy.config import ModerationStage
from tenancy.conversations import Recalled, SessionKey


class Admissions(Protocol):
    """What a tenant may use: asked before a request, told while it runs and when it is over.

    Every method raises DependencyDownError. A month is `YYYY-MM` in UTC: the one in which the request was admitted.
    """

    async def admit(
        self, tenant_id: TenantId, limits: Limits, ask: Ask, month: str, spent_nano_usd: int | None = None
    ) -> Admission:
        """Reserve the worst case under a lease and count the request, or neither where it does not fit.

        Where `needs_spend` is answered, ask again with what the ledger says was spent in the month.
        """
        ...

    async def renew(self, tenant_id: TenantId, lease_id: str, used: Used) -> bool:
        """Keep the lease, with the usage so far. False: it had ended, and was charged with its last renewal."""
        ...

    async def settle(
        self,
        tenant_id: TenantId,
        lease_id: str,
        used: Used,
        month: str,
        *,
        ago_s: float = 0.0,
        in_ledger: bool = True,
    ) -> bool:
        """Give the reservation back and charge the truth, once that stands in the ledger: until then the lease is the
        witness that there is something to be asked about. `in_ledger` False: it cannot be waited for.

        False: there was no live lease, and the difference to what had been charged was charged. `ago_s`: the usage is
        so old and stands in the ledger since, so that a spend asked of the ledger later has it.
        """
        ...

    async def state(
        self, tenant_id: TenantId, limits: Limits, month: str, spent_nano_usd: int | None = None
    ) -> tuple[LimitState, ...]:
        """Every limit now, counting nothing. A budget is left out where the spend is neither known nor given."""
        ...

    async def last_refusal(self, tenant_id: TenantId) -> Refusal | None: ...


class Orchestrator(Protocol):
    def turn(
        self, context: TenantContext, request: TurnRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[TurnEvent]]:
        """The events of one turn, each as soon as it is there; leaving the context early stops the work.

        Entering raises what went wrong before the engine took the request.
        """
        ...

    async def classify(self, context: TenantContext, request: ClassifyRequest) -> ClassifyResponse:
        """One decision a query, in their order; nothing is answered, counted or kept.

        Raises UpstreamError, UpstreamTimeoutError, and what the orchestrator raised.
        """
        ...


class PoolStates(Protocol):
    """How busy the engines are, as the orchestrator last heard."""

    async def pools(self) -> Mapping[str, PoolState]:
        """By the pool's name. Raises UpstreamError, UpstreamTimeoutError."""
        ...


class Heartbeats(Protocol):
    """By which the routers know of each other. Raises DependencyDownError."""

    async def beat(self, router_id: str, demands: Mapping[str, Demand]) -> Mapping[str, Mapping[str, Demand]]:
        """Tell what this router asks of each pool; returns what every router told within the last two seconds, by its
        id and then by pool, this one's included."""
        ...

    async def leave(self, router_id: str) -> None:
        """This router tells no more: the others need not wait for two seconds."""
        ...


class RecentRequests(Protocol):
    """The last `MAX_KEPT` requests of each tenant. Every method raises DependencyDownError."""

    async def note(self, tenant_id: TenantId, request: RecentRequest, *, keep_for: timedelta) -> None:
        """Keep it, a long query cut, for at most `keep_for` (positive); whatever is older than that goes now."""
        ...

    async def last(self, tenant_id: TenantId, count: int, *, not_older_than: datetime) -> list[RecentRequest]:
        """Of the `count` (at least one) that were noted last, those not too old; newest first."""
        ...

    async def forget(self, tenant_id: TenantId) -> None: ...


class FirstAnswerStore(Protocol):
    """What became of requests with an `Idempotency-Key`, by the name of the key's record. A record that is worked on
    belongs to an owner, and ends with its lease. Every method raises DependencyDownError."""

    async def begin(
        self, tenant_id: TenantId, name: str, owner: str, request_print: str, lease: timedelta
    ) -> bytes | None:
        """None: the record is the owner's now. Else the answer that was kept.

        Raises RequestInProgressError while another one owns it, IdempotencyMismatchError where it is another request's.
        """
        ...

    async def renew(self, tenant_id: TenantId, name: str, owner: str, lease: timedelta) -> bool:
        """False: it is not the owner's any more, and stays as it is; `keep` and `drop` likewise."""
        ...

    async def keep(self, tenant_id: TenantId, name: str, owner: str, answer: bytes, keep_for: timedelta) -> bool:
        """`answer` is UTF-8."""
        ...

    async def drop(self, tenant_id: TenantId, name: str, owner: str) -> None: ...


SESSION_CACHED = timedelta(minutes=10)
SESSION_ERASED = timedelta(minutes=2)
"""Longer than it takes from reading the store to keeping a copy of what was read."""
USER_ERASED = SESSION_CACHED + SESSION_ERASED
"""Longer than a copy lives: nobody knows of all sessions that there are copies of."""


class SessionCache(Protocol):
    """Copies of the ends of sessions, each of `SESSION_CACHED` at most. `born` is of the tenant. Every method raises
    DependencyDownError."""

    async def get(self, key: SessionKey, born: datetime) -> Recalled | None: ...

    async def put(self, key: SessionKey, born: datetime, recalled: Recalled) -> None:
        """Unless something newer is known, or it was erased a short time ago."""
        ...

    async def outdate(self, key: SessionKey, born: datetime, revision: int) -> None:
        """From now on nothing older than this revision is given."""
        ...

    async def erase(self, tenant_id: TenantId, user_id: str, session_id: str | None, born: datetime) -> None:
        """No copy of the session, or of any of the user's, is given or taken from now on, for long enough that whoever
        has read it before cannot put it back. To be called before the store erases it."""
        ...


class Documents(Protocol):
    """The RAG service. Raises NotFoundError for what the tenant does not have."""

    async def add(self, context: TenantContext, document: IngestRequest) -> DocumentReceipt: ...

    async def list(
        self, context: TenantContext, after: str, limit: int, state: DocumentState | None = None
    ) -> DocumentPage: ...

    async def get(self, context: TenantContext, document_id: str) -> DocumentInfo: ...

    async def chunks(self, context: TenantContext, document_id: str, after: int, limit: int) -> ChunkPage: ...

    async def delete(self, context: TenantContext, document_id: str) -> None: ...

    async def search(self, context: TenantContext, request: SearchRequest) -> SearchResponse: ...

    async def passages(self, context: TenantContext, document_id: str) -> Sequence[StoredPassage]:
        """A document's chunks in order."""
        ...

    async def loaded(self, context: TenantContext) -> int:
        """Vectors of the tenant in the memory of the replica that answers."""
        ...

    async def unload(self, context: TenantContext) -> int:
        """Drop them; returns how many there were. Other replicas see by the tenant's row that it is another one."""
        ...


class IssuerKeys(Protocol):
    """The keys that a token issuer signs with now."""

    async def keys(self, kid: str | None = None) -> KeySet:
        """Looked up anew first where `kid` is none of them, though not at every call.

        Raises DependencyDownError where the issuer has been out of reach for too long.
        """
        ...


class Moderation(Protocol):
    """A service that says which texts are unfit, by its own rules."""

    async def judge(self, tenant_id: TenantId, text: str, *, stage: ModerationStage) -> Moderated:
        """Raises ModerationUnavailableError where there is no verdict within the time bound, whatever the reason."""
        ...


class PriceStore(Protocol):
    """The versions of the platform's price list. Every method raises DependencyDownError."""

    async def latest(self) -> PriceList | None:
        """None before the first."""
        ...

    async def version(self, version: int) -> PriceList | None: ...

    async def versions(self, *, before: int | None, limit: int) -> Sequence[PriceList]:
        """Newest first, those below `before`."""
        ...

    async def seed(self, prices: Mapping[str, Price], author: str) -> PriceList:
        """The first version, unless there is one; returns the latest."""
        ...

    async def add(self, prices: Mapping[str, Price], *, by: Actor, expected: frozenset[int] | None = None) -> PriceList:
        """A new version, valid from now on, with its audit event in the platform's chain.

        Raises PreconditionFailedError where the latest is not among `expected`.
        """
        ...
