"""The account of a request: opened with a reservation, kept while it runs, settled once, however it ends.

There is one release path. `open` is a context manager; leaving it, by an answer, a refusal, an error, a timeout, a
disconnect or a cancellation, settles what was used so far: in Valkey, where the reservation is given back, and in the
ledger. Whoever crashes settles nothing: its leases end by themselves, and the ledger closes its events with the last
renewal.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.errors import AtriumError, OverloadedError, RateLimitedError, UpstreamTimeoutError
from contracts.external import EXTERNAL_POOL
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from observability.tracing import span
from router.domain.admission import MONTHLY_BUDGET, RENEW_S, Admission, Ask, Limits, Used, month_of
from router.domain.caller import Caller
from router.domain.meter import Meter
from router.domain.pricing import PriceList, external_model, usd
from router.domain.worst_case import Bounds
from router.ports import Admissions
from router.service.ledger_writer import LedgerWriter
from tenancy.usage import Outcome, UsageEvent
from tenancy.usage_ports import Ledger

COMMIT_S = 2.0
"""How long the end of an answer waits for its row in the ledger; the row is written in any case."""
RELEASE_S = 1.0
"""How long the reservation waits for that row: then it is given back, and the spend is in doubt until it is asked."""
CLOSE_S = 12.0

_logger = logging.getLogger("atrium.accounts")


@dataclass(slots=True, eq=False)
class Account:
    """`outcome` is set once it is known; left unset, the client has gone."""

    caller: Caller
    lease_id: str
    user_id: str
    session_id: str
    started_at: datetime
    admission: Admission
    prices: PriceList
    used: Meter = field(default_factory=Meter)
    outcome: Outcome | None = None
    pool: str | None = None
    """That serves it; until it is chosen, its tenant's own stands in the row."""
    begun: bool = False
    """An engine may have it: it has a row in the ledger."""
    settling: asyncio.Task[None] | None = None

    @property
    def month(self) -> str:
        return month_of(self.started_at)

    @property
    def model(self) -> str:
        """As it is priced and stands in the ledger: what a tenant's own engine calls its model is no model of ours."""
        used = self.used.model
        return external_model(used) if used and self.pool == EXTERNAL_POOL else used

    @property
    def cost_nano_usd(self) -> int:
        used = self.used
        return self.prices.of(self.model).cost(used.prompt_tokens, used.completion_tokens, used.cached_tokens)

    @property
    def cost_usd(self) -> float:
        return usd(self.cost_nano_usd)

    def charged(self) -> Used:
        return Used(self.used.total_tokens, self.cost_nano_usd)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """What is raised in here becomes the outcome, unless there is one."""
        try:
            yield
        except AtriumError as error:
            self.outcome = self.outcome or outcome_of(error.code)
            raise
        except Exception:
            self.outcome = self.outcome or Outcome.ERROR
            raise

    def event(self, outcome: Outcome | None) -> UsageEvent:
        used, policy = self.used, self.caller.policy
        return UsageEvent(
            tenant_id=policy.tenant_id,
            event_id=self.lease_id,
            request_id=self.caller.request_id,
            user_id=self.user_id,
            session_id=self.session_id,
            route=used.route,
            model=self.model,
            pool=self.pool or policy.pool,
            prompt_tokens=used.prompt_tokens,
            cached_tokens=used.cached_tokens,
            completion_tokens=used.completion_tokens,
            price_version=self.prices.version,
            cost_nano_usd=self.cost_nano_usd,
            outcome=outcome,
            started_at=self.started_at,
            tenant_born=policy.revision.born,
        )


class Accounts:
    """Works while `running` is entered, which renews what is open."""

    def __init__(
        self,
        admissions: Admissions,
        writer: LedgerWriter,
        ledger: Ledger,
        prices: Callable[[], Awaitable[PriceList]],
        metrics: Metrics,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._admissions = admissions
        self._writer = writer
        self._ledger = ledger
        self._prices = prices
        self._metrics = metrics
        self._now = now
        self._open: dict[str, Account] = {}
        self._settling: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(
        self, caller: Caller, *, lease_id: str, user_id: str, session_id: str, bounds: Bounds, deadline_s: float
    ) -> AsyncIterator[Account]:
        """Raises RateLimitedError; OverloadedError while the ledger is too far behind; DependencyDownError."""
        if self._writer.full:
            raise OverloadedError("usage cannot be recorded fast enough", retry_after_s=2)
        prices, started_at = await self._prices(), self._now()
        worst = max(price.worst(bounds.prompt, bounds.answer) for price in prices.prices.values())
        ask = Ask(lease_id, bounds.total, worst, deadline_s)
        try:
            with span("admission"):
                admission = await self._admit(caller, ask, month_of(started_at))
        except asyncio.CancelledError:
            self._give_back(caller, lease_id, month_of(started_at))
            raise
        account = Account(caller, lease_id, user_id, session_id, started_at, admission, prices)
        self._open[lease_id] = account
        try:
            with account.failing():
                yield account
        finally:
            # Nothing is awaited here: a cancelled request must not be able to cancel its own settlement.
            self._settle(account)

    def begin(self, account: Account) -> None:
        """Before the turn is given away: its row is opened, so that whoever crashes now leaves one behind.

        Nobody waits for it: it is committed while the orchestrator looks at the question, before an engine does.
        """
        account.begun = True
        self._writer.renew(account.event(None))

    async def settled(self, account: Account, outcome: Outcome) -> None:
        """Before the last word of an answer: its row is committed, or has been given its time."""
        account.outcome = outcome
        await asyncio.wait({self._settle(account)}, timeout=COMMIT_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        renewing = asyncio.create_task(self._renew_all(), name="leases")
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            if self._settling:
                await asyncio.wait(self._settling, timeout=CLOSE_S)

    async def _admit(self, caller: Caller, ask: Ask, month: str) -> Admission:
        policy = caller.policy
        admission = await self._admissions.admit(policy.tenant_id, policy.limits, ask, month)
        if admission.needs_spend:
            spent = await self._ledger.month_spend(policy.tenant_id, month)
            admission = await self._admissions.admit(policy.tenant_id, policy.limits, ask, month, spent)
        self._note_budget(policy.tenant_id, admission)
        if not admission.allowed:
            raise self._over_limit(policy.tenant_id, policy.limits, ask, admission)
        return admission

    def _note_budget(self, tenant_id: TenantId, admission: Admission) -> None:
        """A router on its own knows its share of a budget, which says nothing of the whole."""
        budget = admission.state(MONTHLY_BUDGET)
        if budget is not None and budget.limit and not admission.local:
            self._metrics.observe(names.BUDGET_USED, 1 - budget.remaining / budget.limit, tenant=str(tenant_id))

    def _over_limit(self, tenant_id: TenantId, limits: Limits, ask: Ask, admission: Admission) -> RateLimitedError:
        name = admission.refused_by or ""
        self._metrics.count(names.THROTTLED_COUNT, tenant=str(tenant_id), reason=name)
        state = admission.state(name)
        limit = state.limit if state else 0
        shown = f"{usd(limit):g} USD a month" if name == MONTHLY_BUDGET else f"{limit} {name.replace('_', ' ')}"
        message = f"the limit of {shown} is used up"
        if admission.never:
            message = f"this request may use up to {ask.tokens} tokens: more than the whole limit of {shown}"
        value = usd(limit) if name == MONTHLY_BUDGET else limit
        return RateLimitedError(
            message,
            details={"limit": name, "value": value, "headers": dict(admission.headers())},
            retry_after_s=None if admission.never else admission.retry_after_s,
        )

    def _give_back(self, caller: Caller, lease_id: str, month: str) -> None:
        """Valkey may have taken the lease before whoever asked for it went away."""
        task = asyncio.create_task(self._return(caller, lease_id, month), name=f"give back {lease_id}")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _return(self, caller: Caller, lease_id: str, month: str) -> None:
        with suppress(AtriumError):  # then the lease ends by itself
            await self._admissions.settle(caller.tenant_id, lease_id, Used(), month)

    def _settle(self, account: Account) -> asyncio.Task[None]:
        """Begin to settle, once."""
        if account.settling is None:
            del self._open[account.lease_id]
            account.settling = asyncio.create_task(self._write(account), name=f"settle {account.lease_id}")
            self._settling.add(account.settling)
            account.settling.add_done_callback(self._settling.discard)
        return account.settling

    async def _write(self, account: Account) -> None:
        """Into the ledger, and then to Valkey: whoever crashes in between leaves a lease that ends by itself, which is
        how Valkey learns that there is something to ask the ledger about."""
        event = account.event(account.outcome or Outcome.DISCONNECTED)
        began = time.monotonic()
        writing = asyncio.ensure_future(self._writer.settle(event))
        with span("settle"):
            await asyncio.wait({writing}, timeout=RELEASE_S)
            in_ledger = writing.done() and writing.exception() is None
            await self._charge(event, account, in_ledger=in_ledger)
        if not in_ledger:
            await self._expected(event, writing)
            await self._charge(event, account, ago_s=time.monotonic() - began)  # it may have asked meanwhile

    async def _charge(self, event: UsageEvent, account: Account, **how: Any) -> None:
        settling = self._admissions.settle(event.tenant_id, account.lease_id, account.charged(), account.month, **how)
        await self._expected(event, settling)

    async def _expected(self, event: UsageEvent, work: Awaitable[object]) -> None:
        """What may fail while a store is away is told, once a request."""
        try:
            await work
        except (AtriumError, ValueError) as error:
            reason = error.message if isinstance(error, AtriumError) else str(error)
            log(
                _logger,
                logging.WARNING,
                "a request could not be settled at once",
                tenant_id=str(event.tenant_id),
                request_id=event.request_id,
                reason=reason,
            )

    async def _renew_all(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            accounts = list(self._open.values())
            for account in accounts:
                if account.begun:
                    self._writer.renew(account.event(None))
            await asyncio.gather(*map(self._renew, accounts), return_exceptions=True)

    async def _renew(self, account: Account) -> None:
        """A lease that was not found again (Valkey lost it) is not missed: settling charges what was used."""
        await self._admissions.renew(account.caller.tenant_id, account.lease_id, account.charged())


def outcome_of(code: str) -> Outcome:
    """Of a request that failed with an error of this code."""
    return Outcome.TIMEOUT if code == UpstreamTimeoutError.code else Outcome.ERROR
