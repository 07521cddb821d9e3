"""Notes what each chat was like, and tells tenants and the platform of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.errors import AtriumError, InvalidRequestError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics
from observability.record import RequestRecord
from router.domain.pricing import NANO
from tenancy.metrics import MetricsRow, Numbers, Sample, Step, noted
from tenancy.metrics_ports import MetricsGroup, MetricsStore

WRITE_S = 10.0
MAX_UNWRITTEN = 20_000
"""Rows that wait while the store is away; what comes beyond is dropped and counted. Some hundred bytes each."""
AT_ONCE = 1_000
KEPT = {Step.HOUR: timedelta(days=35), Step.DAY: timedelta(days=800)}
MAX_SPAN = {Step.HOUR: timedelta(days=31), Step.DAY: timedelta(days=400)}
MAX_ROWS = 10_000
OPERATIONS = frozenset({"POST /chat", "POST /v1/chat/completions"})
THROTTLED = "rate_limited"

_Key = tuple[TenantId, datetime, Step, datetime, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """Both ends in UTC; `end` is not among what is meant. `whole`: the sums of all, where `rows` are not all."""

    step: Step
    first: datetime
    end: datetime
    group_by: tuple[MetricsGroup, ...]
    rows: Sequence[MetricsRow]
    whole: Numbers | None = None

    @property
    def total(self) -> Numbers:
        if self.whole is not None:
            return self.whole
        total = Numbers()
        for row in self.rows:
            total.merge(row.numbers)
        return total


class TenantMetrics:
    """`note` is called for every request, and costs some microseconds. `write` is to be repeated every `WRITE_S`."""

    def __init__(self, store: MetricsStore, metrics: Metrics, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._metrics = metrics
        self._now = now
        self._unwritten: dict[_Key, Numbers] = {}

    def note(self, record: RequestRecord) -> None:
        """Of a chat that was admitted to its tenant; anything else is none of a tenant's numbers."""
        if record.operation not in OPERATIONS or record.tenant_born is None:
            return
        now, tenant_id = self._now(), TenantId(record.tenant_id)
        for step in Step:
            key = (tenant_id, record.tenant_born, step, step.of(now), record.route)
            numbers = self._unwritten.get(key)
            if numbers is None:
                if len(self._unwritten) >= MAX_UNWRITTEN:
                    self._metrics.count(names.TENANT_METRICS_DROPPED)
                    continue
                numbers = self._unwritten[key] = Numbers()
            _add(numbers, record)

    async def write(self) -> None:
        """What was noted since the last time. What cannot be written is written the next time."""
        while self._unwritten:
            keys = list(self._unwritten)[:AT_ONCE]
            batch = {key: self._unwritten.pop(key) for key in keys}
            written = False
            try:
                await self._store.add([Sample(*key, numbers) for key, numbers in batch.items()])
                written = True
            finally:
                if not written:
                    self._put_back(batch)

    async def forget(self) -> None:
        now = self._now()
        while await self._store.forget(hours_before=now - KEPT[Step.HOUR], days_before=now - KEPT[Step.DAY]):
            pass

    async def close(self) -> None:
        """The last of it, unless the store is away."""
        try:
            await self.write()
        except AtriumError:
            self._metrics.count(names.TENANT_METRICS_DROPPED, len(self._unwritten))

    async def seen(
        self,
        tenant_id: TenantId,
        step: Step,
        first: datetime | None,
        end: datetime | None,
        group_by: tuple[MetricsGroup, ...],
    ) -> Seen:
        """Raises InvalidRequestError for a span that cannot be asked for."""
        first, end = self._span(step, first, end)
        rows = await self._store.rows(tenant_id, step, first, end, group_by, limit=MAX_ROWS + 1)
        return Seen(step, first, end, group_by, _not_too_many(rows))

    async def fleet(
        self, first: datetime | None, end: datetime | None, group_by: tuple[MetricsGroup, ...], *, limit: int
    ) -> Seen:
        """Of all tenants, by days: those with the most requests first. The total is of all, also of those that `limit`
        cuts off. Raises InvalidRequestError."""
        first, end = self._span(Step.DAY, first, end)
        rows = await self._store.fleet(first, end, group_by, limit=limit + 1)
        whole = await self._store.fleet(first, end, (), limit=1) if len(rows) > limit else []
        return Seen(Step.DAY, first, end, group_by, rows[:limit], whole[0].numbers if whole else None)

    def _span(self, step: Step, first: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
        end = end or step.of(self._now()) + step.length
        try:
            first = step.of(first or end - (timedelta(days=1) if step is Step.HOUR else timedelta(days=30)))
        except OverflowError:
            raise InvalidRequestError("`from` is beyond what a calendar has") from None
        if first >= end:
            raise InvalidRequestError("`from` is not before `to`")
        if end - first > MAX_SPAN[step]:
            raise InvalidRequestError(f"by the {step} at most {MAX_SPAN[step].days} days can be asked for")
        return first, end

    def _put_back(self, batch: dict[_Key, Numbers]) -> None:
        for key, numbers in batch.items():
            newer = self._unwritten.get(key)
            if newer is not None:
                numbers.merge(newer)
            self._unwritten[key] = numbers


def _add(numbers: Numbers, record: RequestRecord) -> None:
    used = record.token_usage
    numbers.requests += 1
    numbers.prompt_tokens += used.get("prompt_tokens", 0)
    numbers.cached_tokens += used.get("cached_tokens", 0)
    numbers.completion_tokens += used.get("completion_tokens", 0)
    numbers.cost_nano_usd += round(record.cost_usd_estimate * NANO)
    if record.refusal_reason:
        noted(numbers.refusals, record.refusal_reason)
    if record.error_code == THROTTLED:
        noted(numbers.throttled, record.limit or "other")
    elif record.error_code:
        noted(numbers.errors, record.error_code)
    elif record.disconnected:
        noted(numbers.errors, "disconnected")
    else:
        numbers.latency.add(record.latency_ms)
    if record.first_token_ms is not None:
        numbers.first_token.add(record.first_token_ms)


def _not_too_many(rows: list[MetricsRow]) -> list[MetricsRow]:
    if len(rows) > MAX_ROWS:
        raise InvalidRequestError(f"the answer has more than {MAX_ROWS} rows: ask for less time, or fewer groups")
    return rows
