"""Moderation by OpenAI's API, by Bedrock and in memory keep the same promises; the services are imitated, over a real
socket."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from contracts.errors import ModerationUnavailableError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from router.adapters.memory_moderation import MemoryModeration
from router.adapters.moderation_bedrock import BedrockModeration
from router.adapters.moderation_bounded import BoundedModeration, ModerationService
from router.adapters.moderation_http import MAX_BODY_BYTES, HttpModeration
from router.adapters.moderation_none import NoModeration
from router.domain.moderation import PASSED
from router.ports import Moderation
from servicekit.client import open_session
from support.clock import Clock
from support.imitation_moderation import (
    UNFIT,
    Answer,
    ImitationModeration,
    cut_off,
    instead,
    right,
    running_moderation,
    status,
)
from support.telling import told

pytestmark = pytest.mark.usefixtures("aws")
T1, T2 = TenantId("t1"), TenantId("t2")
KEY = "sk-a-key-of-the-tests"
QUICK_S, GENEROUS_S = 0.3, 20.0


class Counted(NullMetrics):
    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self.verdicts = 0

    def count(self, metric: Metric, _amount: float = 1.0, /, **dimensions: str) -> None:
        assert (metric, dimensions.pop("dependency")) == (names.DEPENDENCY_FAILURE, "moderation")
        self.failures[dimensions["reason"]] += 1

    def observe(self, metric: Metric, _value: float, /, **_dimensions: str) -> None:
        assert metric is names.MODERATION_TIME
        self.verdicts += 1


@pytest.fixture
def imitation() -> Iterator[ImitationModeration]:
    with running_moderation() as running:
        yield running


@pytest.fixture
def metrics() -> Counted:
    return Counted()


@asynccontextmanager
async def _http(url: str) -> AsyncIterator[ModerationService]:
    async with open_session() as session:
        yield HttpModeration(session, f"{url}/v1/moderations", api_key=KEY, model="omni-moderation-latest")


@asynccontextmanager
async def _bedrock(url: str) -> AsyncIterator[ModerationService]:
    service = BedrockModeration("gr1", "3", region="eu-central-1", endpoint_url=url, timeout_s=2.0)
    try:
        yield service
    finally:
        service.close()


Opened = Callable[[str], AbstractAsyncContextManager[ModerationService]]


@pytest.fixture(params=[_http, _bedrock], ids=["openai", "bedrock"])
def opened(request: pytest.FixtureRequest) -> Opened:
    found: Opened = request.param
    return found


def bounded(service: ModerationService, metrics: Counted, timeout_s: float = GENEROUS_S, **more: Any) -> Moderation:
    return BoundedModeration(service, metrics, timeout_s=timeout_s, **more)


async def unavailable(moderation: Moderation, text: str = "a text", tenant: TenantId = T1) -> float | None:
    """That there is no verdict; returns when to come back."""
    with pytest.raises(ModerationUnavailableError) as caught:
        await moderation.judge(tenant, text, stage="input")
    return caught.value.retry_after_s


@pytest.fixture(params=["memory", "openai", "bedrock"])
async def moderation(
    request: pytest.FixtureRequest, imitation: ImitationModeration, metrics: Counted
) -> AsyncIterator[Moderation]:
    if request.param == "memory":
        yield MemoryModeration({UNFIT: "violence"})
        return
    async with (_http if request.param == "openai" else _bedrock)(imitation.url) as service:
        yield bounded(service, metrics)


@pytest.mark.parametrize("stage", ["input", "output"])
async def test_what_is_unfit_is_flagged_and_what_is_not_passes(moderation: Moderation, stage: Any) -> None:
    assert await moderation.judge(T1, "a kind question", stage=stage) == PASSED
    flagged = await moderation.judge(T1, f"these are {UNFIT}, 'quoted' \n\x00 \U0001f989", stage=stage)
    assert flagged.flagged
    assert flagged.categories[0].lower() == "violence"
    assert UNFIT not in str(flagged)


async def test_texts_are_judged_at_the_same_time_each_by_itself(moderation: Moderation) -> None:
    texts = [UNFIT if number % 3 == 0 else f"text {number}" for number in range(40)]
    verdicts = await asyncio.gather(*(moderation.judge(T1, text, stage="output") for text in texts))
    assert [verdict.flagged for verdict in verdicts] == [number % 3 == 0 for number in range(40)]


async def test_openais_api_is_asked_as_it_is_described(imitation: ImitationModeration, metrics: Counted) -> None:
    async with _http(imitation.url) as service:
        verdict = await bounded(service, metrics).judge(T1, UNFIT, stage="input")
    [question] = imitation.asked
    assert question.path == "/v1/moderations"
    assert question.headers["authorization"] == f"Bearer {KEY}"
    assert question.body == {"input": UNFIT, "model": "omni-moderation-latest"}
    assert verdict.categories == ("violence", "harassment")
    assert metrics.verdicts == 1


async def test_bedrock_is_asked_for_the_guardrail_and_the_stage(
    imitation: ImitationModeration, metrics: Counted
) -> None:
    async with _bedrock(imitation.url) as service:
        moderation = bounded(service, metrics)
        verdict = await moderation.judge(T1, UNFIT, stage="input")
        await moderation.judge(T1, "text", stage="output")
    assert [question.path for question in imitation.asked] == ["/guardrail/gr1/version/3/apply"] * 2
    assert [question.body["source"] for question in imitation.asked] == ["INPUT", "OUTPUT"]
    assert "AWS4-HMAC-SHA256" in imitation.asked[0].headers["authorization"]
    assert verdict.categories == ("VIOLENCE", "WORD")


FAULTS: dict[str, tuple[Answer, str]] = {
    "500": (status(500), "status"),
    "403": (status(403), "status"),
    "quota": (status(429), "throttled"),
    "not this text": (status(400), "rejected"),
    "html": (instead(b"<html>"), "malformed"),
    "cut off": (cut_off, "out_of_reach or malformed"),
    "nothing": (instead(b"{}"), "malformed"),
    "a list": (instead(b"[]"), "malformed"),
    "null": (instead(b"null"), "malformed"),
    "no result": (instead(b'{"results": [], "action": ""}'), "malformed"),
    "no verdict": (instead(b'{"results": [{"flagged": "no"}], "action": "MAYBE"}'), "malformed"),
    "deep": (instead(b'{"results": ' + b"[" * 100_000 + b'], "action": "NONE"}'), "malformed"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_that_is_no_verdict_is_none(
    imitation: ImitationModeration, metrics: Counted, opened: Opened, fault: str
) -> None:
    imitation.answer, reason = FAULTS[fault]
    async with opened(imitation.url) as service:
        moderation = bounded(service, metrics)
        await unavailable(moderation)
        assert [count for failure, count in metrics.failures.items() if failure in reason] == [1]
        imitation.answer = right
        assert not (await moderation.judge(T1, "a text", stage="input")).flagged


async def test_a_redirect_is_not_followed(imitation: ImitationModeration, metrics: Counted, opened: Opened) -> None:
    with running_moderation() as elsewhere:
        for code in (301, 302, 307, 308):
            imitation.answer = status(code, location=f"{elsewhere.url}/v1/moderations")
            async with opened(imitation.url) as service:
                await unavailable(bounded(service, metrics))
        assert elsewhere.asked == []
    assert metrics.failures == {"redirect": 4}


async def test_an_endless_answer_is_not_read_to_its_end(imitation: ImitationModeration, metrics: Counted) -> None:
    imitation.answer = instead(b" " * (50 * MAX_BODY_BYTES))
    async with _http(imitation.url) as service:
        await unavailable(bounded(service, metrics))
    assert metrics.failures == {"too_large": 1}


async def test_nobody_there_is_told_at_once(metrics: Counted, opened: Opened) -> None:
    async with opened("http://127.0.0.1:1") as service:
        began = time.monotonic()
        await unavailable(bounded(service, metrics))
        assert time.monotonic() - began < GENEROUS_S / 2
    assert metrics.failures == {"out_of_reach": 1}


async def test_a_service_that_hangs_holds_nobody_longer_than_the_bound(
    imitation: ImitationModeration, metrics: Counted, opened: Opened
) -> None:
    imitation.gate.clear()
    async with opened(imitation.url) as service:
        moderation = bounded(service, metrics, QUICK_S, failures=100)
        began = time.monotonic()
        await asyncio.gather(*(unavailable(moderation) for _ in range(20)))
        assert time.monotonic() - began < QUICK_S + 1
    assert metrics.failures.keys() <= {"timeout", "busy"}
    assert metrics.failures["timeout"] > 0


async def test_so_many_at_once_and_half_of_them_a_tenants(
    imitation: ImitationModeration, metrics: Counted, opened: Opened
) -> None:
    imitation.gate.clear()
    async with opened(imitation.url) as service:
        service.at_once = 4
        moderation = bounded(service, metrics, timeout_s=3.0)
        first = [asyncio.create_task(moderation.judge(T1, "mine", stage="input")) for _ in range(6)]
        second = [asyncio.create_task(moderation.judge(T2, "theirs", stage="input")) for _ in range(2)]
        for _ in range(4):
            await asyncio.to_thread(imitation.reached.acquire)
        assert Counter(question.text for question in imitation.asked) == {"mine": 2, "theirs": 2}
        if opened is _http:
            await asyncio.wait(first, return_when=asyncio.FIRST_EXCEPTION)
            assert metrics.failures["busy"] >= 1
        imitation.gate.set()
        await asyncio.gather(*first, *second, return_exceptions=True)


async def test_who_leaves_gives_the_place_back(
    imitation: ImitationModeration, metrics: Counted, opened: Opened
) -> None:
    imitation.gate.clear()
    async with opened(imitation.url) as service:
        service.at_once = 2
        moderation = bounded(service, metrics, failures=1)
        leaving = asyncio.create_task(moderation.judge(T1, "mine", stage="input"))
        await asyncio.to_thread(imitation.reached.acquire)
        leaving.cancel()
        await asyncio.wait([leaving])
        imitation.gate.set()
        assert not (await moderation.judge(T1, "mine", stage="input")).flagged
    assert metrics.failures == {}


async def test_a_service_that_fails_is_left_alone_then_tried_once(
    imitation: ImitationModeration, metrics: Counted, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    imitation.answer = status(500)
    async with opened(imitation.url) as service:
        moderation = bounded(service, metrics, failures=3, open_s=5.0, clock=clock)
        with caplog.at_level(logging.INFO, "atrium.moderation"):
            for _ in range(10):
                await unavailable(moderation)
            assert (len(imitation.asked), metrics.failures) == (3, {"status": 3, "open": 7})
            clock.now += 3
            assert await unavailable(moderation) == 2
            clock.now += 2
            imitation.gate.clear()
            trial = asyncio.create_task(unavailable(moderation))
            while len(imitation.asked) < 4:
                await asyncio.to_thread(imitation.reached.acquire)
            await unavailable(moderation)  # while the trial is under way nothing else is sent
            imitation.gate.set()
            await trial
            assert len(imitation.asked) == 4
            imitation.answer = right
            clock.now += 5
            for _ in range(2):
                assert not (await moderation.judge(T2, "a text", stage="input")).flagged
    assert [record.levelname for record in told(caplog, "atrium.moderation")] == ["WARNING", "INFO"]
    assert "a text" not in caplog.text


async def test_a_trial_that_is_given_up_leaves_room_for_the_next(
    imitation: ImitationModeration, metrics: Counted, opened: Opened
) -> None:
    clock = Clock()
    imitation.answer = status(500)
    async with opened(imitation.url) as service:
        moderation = bounded(service, metrics, failures=1, open_s=5.0, clock=clock)
        await unavailable(moderation)
        clock.now += 5
        imitation.gate.clear()
        imitation.reached.acquire()
        leaving = asyncio.create_task(moderation.judge(T1, "a text", stage="input"))
        await asyncio.to_thread(imitation.reached.acquire)
        leaving.cancel()
        await asyncio.wait([leaving])
        imitation.answer = right
        imitation.gate.set()
        assert not (await moderation.judge(T1, "a text", stage="input")).flagged


async def test_texts_that_the_service_does_not_want_shut_it_off_for_nobody(
    imitation: ImitationModeration, metrics: Counted, opened: Opened
) -> None:
    async with opened(imitation.url) as service:
        moderation = bounded(service, metrics, failures=2)
        imitation.answer = status(400)
        for _ in range(5):
            await unavailable(moderation, tenant=T1)
        imitation.answer = right
        assert not (await moderation.judge(T2, "a text", stage="input")).flagged


async def test_without_a_service_nothing_passes() -> None:
    await unavailable(NoModeration())
    memory = MemoryModeration()
    memory.down = True
    await unavailable(memory)
