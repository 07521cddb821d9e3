"""Nothing unjudged leaves, in whatever order verdicts come; and whoever leaves leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.chat import (
    CitationsEvent,
    DoneEvent,
    ErrorEvent,
    MetaEvent,
    Refusal,
    RefusalEvent,
    TokenEvent,
    TurnEvent,
    Usage,
    UsageEvent,
)
from contracts.errors import ModerationUnavailableError, UpstreamError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from router.adapters.memory_moderation import MemoryModeration
from router.domain.moderation import Moderated
from router.domain.policy import Policy
from router.domain.segments import MAX_CHARS, PIECE_CHARS
from router.service.moderating import AHEAD, Moderating
from support.policies import a_policy
from tenancy.config import ModerationStage

META = MetaEvent(route="GENERAL", route_score=0.5, model="m")
CITATIONS = CitationsEvent(citations=[])
USAGE = UsageEvent(usage=Usage(prompt_tokens=7, completion_tokens=99, total_tokens=106, cached_tokens=3))
DONE = DoneEvent(finish_reason="stop")
GOOD = "This is a sentence that is long enough for a segment of its own, number {}. "
UNFIT = "This is a sentence that is unfit, and long enough for a segment of its own. "


class Outcomes(NullMetrics):
    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()

    def count(self, metric: Metric, _amount: float = 1.0, /, **dimensions: str) -> None:
        assert metric is names.MODERATION
        self.seen[dimensions["stage"], dimensions["outcome"]] += 1


class Gated(MemoryModeration):
    """Each verdict waits until the test lets its text's last segment through."""

    def __init__(self, unfit: dict[str, str] | None = None) -> None:
        super().__init__(unfit)
        self.waiting: list[tuple[str, asyncio.Event]] = []
        self.came = asyncio.Event()
        self.given_up = 0

    async def judge(self, tenant_id: TenantId, text: str, *, stage: ModerationStage) -> Moderated:
        gate = asyncio.Event()
        self.waiting.append((text, gate))
        self.came.set()
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return await super().judge(tenant_id, text, stage=stage)

    async def count(self, number: int) -> None:
        while len(self.waiting) < number:
            self.came.clear()
            await self.came.wait()


def moderated(*stages: str, on_failure: str = "closed") -> Policy:
    return a_policy(moderation={"stages": list(stages), "on_failure": on_failure})


BOTH = moderated("input", "output")


def tokens(*texts: str) -> list[TurnEvent]:
    return [TokenEvent(text=text, prompt_tokens=7, completion_tokens=number) for number, text in enumerate(texts, 1)]


async def stream(*events: TurnEvent | Exception) -> AsyncIterator[TurnEvent]:
    for event in events:
        if isinstance(event, Exception):
            raise event
        yield event


async def told(moderating: Moderating, *events: TurnEvent | Exception, policy: Policy = BOTH) -> list[TurnEvent]:
    async with moderating.output(policy, stream(*events)) as found:
        return [event async for event in found]


class Seen(list[TurnEvent]):
    """Events that were told, also where an error is the end of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()

    async def read(self, moderating: Moderating, *events: TurnEvent | Exception) -> None:
        async with moderating.output(BOTH, stream(*events)) as found:
            async for event in found:
                self.append(event)
                self.first.set()


def text_of(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenEvent))


async def test_who_asks_for_nothing_is_not_judged_and_not_touched() -> None:
    service = MemoryModeration()
    moderating = Moderating(service, Outcomes())
    assert await moderating.input(moderated("output"), "text") is None
    events = stream(META)
    async with moderating.output(moderated("input"), events) as found:
        assert found is events
    await events.aclose()  # type: ignore[attr-defined]
    assert service.asked == []


async def test_a_prompt_is_judged_once_and_refused_by_its_category() -> None:
    service, outcomes = MemoryModeration({"unfit": "violence"}), Outcomes()
    moderating = Moderating(service, outcomes)
    assert await moderating.input(BOTH, "a question") is None
    refusal = await moderating.input(BOTH, "an unfit question")
    assert refusal is not None
    assert (refusal.reason, refusal.rule_id, refusal.stage) == ("moderation", "moderation:violence", "input")
    assert "unfit" not in refusal.model_dump_json()
    assert [(asked.tenant_id, asked.stage) for asked in service.asked] == [(BOTH.tenant_id, "input")] * 2
    assert outcomes.seen == {("input", "passed"): 1, ("input", "flagged"): 1}


@pytest.mark.parametrize("at", [0, PIECE_CHARS - 3, 2 * PIECE_CHARS + 11])
async def test_a_long_prompt_is_judged_whole_in_pieces(at: int) -> None:
    service = MemoryModeration({"unfit": "violence"})
    prompt = "x" * at + "unfit" + "y" * (3 * PIECE_CHARS)
    refusal = await Moderating(service, Outcomes()).input(BOTH, prompt)
    assert refusal is not None
    assert len(service.asked) > 3
    assert all(len(asked.text) <= PIECE_CHARS for asked in service.asked)


async def test_a_prompt_without_a_verdict_is_stopped_or_let_through_as_the_tenant_says() -> None:
    service, outcomes = MemoryModeration(), Outcomes()
    service.down = True
    moderating = Moderating(service, outcomes)
    with pytest.raises(ModerationUnavailableError):
        await moderating.input(BOTH, "a question")
    assert await moderating.input(moderated("input", on_failure="open"), "a question") is None
    assert outcomes.seen == {("input", "stopped"): 1, ("input", "let_through"): 1}


async def test_a_good_answer_is_told_whole_and_in_order() -> None:
    service = MemoryModeration()
    said = [GOOD.format(number) for number in range(9)]
    pieces = [part for sentence in said for part in (sentence[:10], sentence[10:33], sentence[33:])]
    events = await told(Moderating(service, Outcomes()), META, *tokens(*pieces), CITATIONS, USAGE, DONE)
    assert text_of(events) == "".join(said)
    assert (events[0], events[-3:]) == (META, [CITATIONS, USAGE, DONE])
    assert [event.text for event in events[1:-3] if isinstance(event, TokenEvent)] == said
    assert [event.completion_tokens for event in events[1:-3] if isinstance(event, TokenEvent)][-1] == len(pieces)


async def test_what_is_judged_has_what_went_before() -> None:
    service = MemoryModeration({"sentence that is long enough for a segment of its own, number 0. This": "split"})
    said = [GOOD.format(number) for number in range(4)]
    events = await told(Moderating(service, Outcomes()), *tokens(*said), DONE)
    assert text_of(events) == said[0]
    assert [asked.text for asked in service.asked][:2] == [said[0], said[0] + said[1]]


async def test_nothing_of_a_flagged_segment_and_nothing_behind_it_is_told() -> None:
    outcomes = Outcomes()
    moderating = Moderating(MemoryModeration({"unfit": "violence"}), outcomes)
    said = [GOOD.format(1), UNFIT, GOOD.format(2)]
    events = await told(moderating, META, *tokens(*said), CITATIONS, USAGE, DONE)
    assert text_of(events) == said[0]
    usage, refused = events[-2:]
    assert isinstance(usage, UsageEvent)
    assert usage.usage.completion_tokens >= 2  # what was generated is known, though it was not told
    assert isinstance(refused, RefusalEvent)
    assert (refused.refusal.rule_id, refused.refusal.stage) == ("moderation:violence", "output")
    assert DONE not in events
    assert outcomes.seen["output", "flagged"] >= 1


@given(
    st.lists(st.sampled_from([GOOD.format(0), UNFIT, "short ", "word" * 30]), max_size=8).map("".join),
    st.lists(st.integers(1, 90), max_size=40),
)
async def test_in_whatever_pieces_an_answer_comes_the_same_is_told(text: str, sizes: list[int]) -> None:
    def pieces() -> list[str]:
        found, rest = [], text
        for size in sizes:
            found.append(rest[:size])
            rest = rest[size:]
        return [*found, rest]

    def told_of(events: list[TurnEvent]) -> tuple[str, str]:
        return text_of(events), type(events[-1]).__name__

    moderating = Moderating(MemoryModeration({"unfit": "violence"}), Outcomes())
    streamed = told_of(await told(moderating, *tokens(*pieces()), DONE))
    assert streamed == told_of(await told(moderating, *tokens(text), DONE))
    assert "unfit" not in streamed[0]
    assert (streamed[1] == "DoneEvent") == ("unfit" not in text)


async def test_nothing_is_told_before_its_verdict_and_verdicts_may_overtake() -> None:
    service = Gated()
    said = [GOOD.format(number) for number in range(3)]
    async with Moderating(service, Outcomes()).output(BOTH, stream(META, *tokens(*said), DONE)) as events:
        assert await anext(events) == META
        next_ = asyncio.ensure_future(anext(events))
        await service.count(3)  # all are judged at the same time
        for _, gate in reversed(service.waiting[1:]):
            gate.set()
        await asyncio.sleep(0.01)
        assert not next_.done()
        service.waiting[0][1].set()
        assert [(await next_).text, (await anext(events)).text, (await anext(events)).text] == said  # type: ignore[union-attr]
        assert await anext(events) == DONE


async def test_a_reader_that_is_slow_lets_no_more_than_a_few_be_judged() -> None:
    service = Gated()
    taken = 0

    async def endless() -> AsyncIterator[TurnEvent]:
        nonlocal taken
        while True:
            taken += 1
            yield TokenEvent(text=GOOD.format(taken % 10))

    source = endless()
    async with Moderating(service, Outcomes()).output(BOTH, source) as events:
        next_ = asyncio.ensure_future(anext(events))
        await service.count(AHEAD + 2)
        await asyncio.sleep(0.01)
        assert len(service.waiting) == AHEAD + 2
        assert taken <= AHEAD + 3
        next_.cancel()
        await asyncio.wait([next_])
    assert service.given_up == AHEAD + 2
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_who_leaves_stops_the_judging_and_the_reading() -> None:
    service, closed = Gated(), asyncio.Event()

    async def source() -> AsyncIterator[TurnEvent]:
        try:
            yield TokenEvent(text=GOOD.format(1))
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with Moderating(service, Outcomes()).output(BOTH, source()) as events:
        reading = asyncio.ensure_future(anext(events))
        await service.count(1)
        reading.cancel()
        await asyncio.wait([reading])
    assert (service.given_up, closed.is_set()) == (1, True)


async def test_without_a_verdict_nothing_more_is_told_where_the_tenant_is_closed() -> None:
    service, outcomes = Gated(), Outcomes()
    seen, said = Seen(), [GOOD.format(number) for number in range(3)]
    reading = asyncio.create_task(seen.read(Moderating(service, outcomes), *tokens(*said), CITATIONS, DONE))
    await service.count(3)
    service.waiting[0][1].set()
    await seen.first.wait()
    service.down = True
    for _, gate in service.waiting:
        gate.set()
    with pytest.raises(ModerationUnavailableError):
        await reading
    assert text_of(seen) == said[0]
    assert len(seen) == 1
    assert outcomes.seen["output", "stopped"] >= 1


async def test_without_a_verdict_all_is_told_and_counted_where_the_tenant_is_open() -> None:
    service, outcomes = MemoryModeration({"unfit": "violence"}), Outcomes()
    service.down = True
    policy = moderated("output", on_failure="open")
    events = await told(Moderating(service, outcomes), *tokens(GOOD, UNFIT), DONE, policy=policy)
    assert (text_of(events), events[-1]) == (GOOD + UNFIT, DONE)
    assert outcomes.seen == {("output", "let_through"): 2}


REFUSED = RefusalEvent(refusal=Refusal(reason="r", rule_id="i", stage="output", message="no"))
BROKEN = ErrorEvent(code="upstream_error", message="m")


@pytest.mark.parametrize("last", [REFUSED, BROKEN])
async def test_behind_a_refusal_or_an_error_what_was_held_is_told_no_more(last: TurnEvent) -> None:
    service = MemoryModeration()
    events = await told(Moderating(service, Outcomes()), *tokens(GOOD, "the half of a"), last)
    assert (text_of(events), events[-1]) == (GOOD, last)
    assert len(service.asked) == 1


async def test_what_the_stream_raises_is_raised_behind_what_had_passed() -> None:
    seen, moderating = Seen(), Moderating(MemoryModeration(), Outcomes())
    with pytest.raises(UpstreamError):
        await seen.read(moderating, META, *tokens(GOOD), UpstreamError("broke off"))
    assert (seen[0], text_of(seen)) == (META, GOOD)


async def test_white_space_costs_no_verdict() -> None:
    service = MemoryModeration()
    text = " " * (3 * MAX_CHARS)
    assert text_of(await told(Moderating(service, Outcomes()), *tokens(text), DONE)) == text
    assert service.asked == []


async def test_an_answer_read_by_several_tasks_is_as_whole() -> None:
    """A server may read from one task and close from another."""
    service = MemoryModeration()
    manager = Moderating(service, Outcomes()).output(BOTH, stream(*tokens(GOOD, GOOD), DONE))
    events = await manager.__aenter__()
    first = await asyncio.create_task(anext(events))  # type: ignore[arg-type]
    assert isinstance(first, TokenEvent)
    await asyncio.create_task(manager.__aexit__(None, None, None))  # type: ignore[arg-type]
    async with aclosing(events) as closed:  # type: ignore[type-var]
        assert [event async for event in closed] == []
