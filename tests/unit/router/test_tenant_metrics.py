"""What is noted of a chat, and that a store that is away loses little."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.errors import DependencyDownError, InvalidRequestError
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from observability.record import RequestRecord
from router.service.tenant_metrics import TenantMetrics
from tenancy.memory_metrics import MemoryMetrics
from tenancy.metrics import Numbers, Sample, Step
from tenancy.metrics_ports import MetricsGroup

T1 = TenantId("t1")
BORN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 5, 4, 12, 34, tzinfo=UTC)


def a_record(**changes: Any) -> RequestRecord:
    usual: dict[str, Any] = {
        "operation": "POST /chat",
        "tenant_id": str(T1),
        "tenant_born": BORN,
        "route": "GENERAL",
        "latency_ms": 100.0,
        "first_token_ms": 50.0,
        "token_usage": {"prompt_tokens": 10, "completion_tokens": 5},
        "cost_usd_estimate": 0.000003,
    }
    return RequestRecord("r", "POST", "/chat", **(usual | changes))


async def noted(*records: RequestRecord, step: Step = Step.HOUR) -> Numbers:
    made = TenantMetrics(MemoryMetrics(), NullMetrics(), now=lambda: NOW)
    for record in records:
        made.note(record)
    await made.write()
    return (await made.seen(T1, step, None, None, (MetricsGroup.AT,))).total


@pytest.mark.parametrize("step", list(Step))
async def test_an_answer_is_counted_with_its_tokens_cost_and_times(step: Step) -> None:
    numbers = await noted(a_record(), a_record(), step=step)

    assert (numbers.requests, numbers.prompt_tokens, numbers.completion_tokens) == (2, 20, 10)
    assert numbers.cost_nano_usd == 6_000
    assert numbers.latency.quantile(0.5) == pytest.approx(100, rel=0.1)
    assert numbers.first_token.quantile(0.5) == pytest.approx(50, rel=0.1)


async def test_a_refusal_a_throttled_one_a_failed_one_and_one_that_was_left_are_told_apart() -> None:
    nothing: dict[str, Any] = {"token_usage": {}, "cost_usd_estimate": 0.0, "first_token_ms": None}
    numbers = await noted(
        a_record(refusal_reason="Security violation", **nothing),
        a_record(error_code="rate_limited", limit="requests_per_minute", **nothing),
        a_record(error_code="upstream_timeout", **nothing),
        a_record(disconnected=True),
    )

    assert numbers.requests == 4
    assert numbers.refusals == {"Security violation": 1}
    assert numbers.throttled == {"requests_per_minute": 1}
    assert numbers.errors == {"upstream_timeout": 1, "disconnected": 1}
    assert sum(numbers.latency.counts) == 1


async def test_other_operations_and_strangers_are_none_of_a_tenants_numbers() -> None:
    numbers = await noted(a_record(operation="GET /tenant/{tenant_id}/usage"), a_record(tenant_born=None))

    assert numbers.requests == 0


class Away(MemoryMetrics):
    def __init__(self) -> None:
        super().__init__()
        self.away = True

    async def add(self, samples: Sequence[Sample]) -> None:
        if self.away:
            raise DependencyDownError("away")
        await super().add(samples)


async def test_what_could_not_be_written_is_written_later_with_what_came_since() -> None:
    store = Away()
    made = TenantMetrics(store, NullMetrics(), now=lambda: NOW)
    made.note(a_record())
    with pytest.raises(DependencyDownError):
        await made.write()
    made.note(a_record())
    store.away = False
    await made.write()

    assert (await made.seen(T1, Step.HOUR, None, None, (MetricsGroup.AT,))).total.requests == 2


async def test_a_span_that_is_too_long_or_none_is_refused() -> None:
    made = TenantMetrics(MemoryMetrics(), NullMetrics(), now=lambda: NOW)
    for first, end in ((BORN, NOW), (NOW, BORN)):
        with pytest.raises(InvalidRequestError):
            await made.seen(T1, Step.HOUR, first, end, ())


@pytest.mark.parametrize("limit", [1, 2, 9])
async def test_the_total_of_the_fleet_is_of_all_tenants_also_of_those_that_the_limit_cuts_off(limit: int) -> None:
    made = TenantMetrics(MemoryMetrics(), NullMetrics(), now=lambda: NOW)
    for record in (a_record(), a_record(), a_record(tenant_id="t2")):
        made.note(record)
    await made.write()

    seen = await made.fleet(None, None, (MetricsGroup.TENANT,), limit=limit)

    assert (len(seen.rows), seen.whole is not None) == (min(limit, 2), limit < 2)
    assert (seen.total.requests, seen.total.prompt_tokens, seen.total.latency.counts[-1]) == (3, 30, 3)
