"""A tenant's slow rules hold up that tenant alone, and nobody after the request was given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from contracts.chat import MAX_QUERY_CHARS, Refusal
from contracts.errors import OverloadedError, PromptTooLongError
from contracts.tenant import TenantId
from router.domain.refusal import LONG_WORK, Judgement, RefusalRules
from router.service import judging
from router.service.judging import Judge
from servicekit.cpu_pool import CpuPool
from support.policies import a_policy, contains

T1, T2 = TenantId("t1"), TenantId("t2")


class _Slow(RefusalRules):
    """Rules that are each asked while `open` is set, and counted."""

    def __init__(self, count: int) -> None:
        self.open, self.asked = threading.Event(), 0
        self.count = count

    def is_long_work(self, *_texts: str) -> bool:
        return True

    def begin(self, *_texts: str) -> Judgement:
        return _Asked(self)


class _Asked(Judgement):
    def __init__(self, rules: _Slow) -> None:
        self.rules = rules
        self.refusal: Refusal | None = None

    def go_on(self) -> bool:
        self.rules.open.wait(30)
        self.rules.asked += 1
        return self.rules.asked >= self.rules.count


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    monkeypatch.setattr(judging, "SLICE_S", 0.0)
    pool = CpuPool("judging", 2)
    yield Judge(pool)
    pool.close()


async def test_another_tenant_is_judged_while_one_has_slow_rules(judge: Judge) -> None:
    slow, quick = _Slow(5), _Slow(1)
    quick.open.set()
    waiting = [asyncio.create_task(judge.refusal(T1, slow, "x")) for _ in range(6)]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert await judge.refusal(T2, quick, "x") is None
    slow.open.set()
    await asyncio.gather(*waiting)


async def test_a_judgement_that_was_given_up_ends_with_the_rule_being_asked(judge: Judge) -> None:
    slow = _Slow(1_000)
    given_up = asyncio.create_task(judge.refusal(T1, slow, "x"))
    await asyncio.sleep(0)
    given_up.cancel()
    slow.open.set()
    await asyncio.gather(given_up, return_exceptions=True)
    assert slow.asked <= 1


async def test_too_many_waiting_prompts_of_a_tenant_are_refused(judge: Judge) -> None:
    slow = _Slow(1)
    waiting = [asyncio.create_task(judge.refusal(T1, slow, "x")) for _ in range(judging.MAX_WAITING + 1)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await judge.refusal(T1, slow, "x")
    slow.open.set()
    await asyncio.gather(*waiting)


def test_an_expression_counts_with_all_its_instructions() -> None:
    rules = a_policy(refusal_rules=[{"type": "regex", "pattern": "[a-q].{500}z", "reason": "r"}]).rules
    assert rules.is_long_work("x" * (LONG_WORK // 4_000))
    assert not a_policy(refusal_rules=[contains("x")]).rules.is_long_work("x" * 3_000)


def test_a_prompt_that_is_written_out_as_eighteen_times_its_length_is_too_long() -> None:
    with pytest.raises(PromptTooLongError):
        a_policy(refusal_rules=[contains("x")]).rules.judge("\ufdfa" * 32_768)


@pytest.mark.parametrize("padding", ["", "x " * judging.LONG_TEXT])
async def test_a_prompt_is_redacted_at_once_or_in_a_thread(judge: Judge, padding: str) -> None:
    own = {"type": "contains", "pattern": "falcon", "reason": "r", "action": "redact"}
    policy = a_policy(redact={"input": ["email"]}, refusal_rules=[own])
    asked = f"{padding}falcon to alice@example.com"
    found = await judge.redacted(policy, asked, "", "falcon")
    assert found.texts == [f"{padding}[REDACTED] to [EMAIL]", "", "[REDACTED]"]
    assert [rule.rule_id for rule in found.rules] == ["refusal_rules[0]"]
    assert (await judge.redacted(a_policy(), "alice@example.com")).texts == ("alice@example.com",)


async def test_placeholders_cannot_make_a_prompt_longer_than_prompts_may_be(judge: Judge) -> None:
    with pytest.raises(PromptTooLongError):
        await judge.redacted(a_policy(redact={"input": ["ip"]}), "1.1.1.1 " * (MAX_QUERY_CHARS // 8))


async def test_only_the_question_has_a_length(judge: Judge) -> None:
    policy = a_policy(redact={"input": ["ip"]})
    long = "x " * MAX_QUERY_CHARS
    assert (await judge.redacted(policy, "from 1.1.1.1?", long)).texts == ["from [IP_ADDRESS]?", long]


async def test_the_first_rule_of_a_conversation_is_the_tenants_first_whichever_text_it_is_in(judge: Judge) -> None:
    rules = a_policy(refusal_rules=[contains("zebra"), contains("aardvark")]).rules
    for texts in (("an aardvark", "a zebra"), ("a zebra", "an aardvark"), ("an aardvark", *["x"] * 400, "a zebra")):
        found = await judge.refusal(T1, rules, *texts)
        assert found is not None
        assert found.rule_id == "refusal_rules[0]"


async def test_a_rule_is_not_found_partly_in_one_text_and_partly_in_the_next(judge: Judge) -> None:
    rules = a_policy(refusal_rules=[contains("credit card"), contains("password")]).rules
    assert await judge.refusal(T1, rules, "what credit", "card games are there", "pass", "word") is None


def test_a_conversation_of_many_texts_is_long_work_for_what_they_are_together() -> None:
    rules = a_policy(refusal_rules=[contains("x")]).rules
    assert rules.is_long_work(*["y" * 1_000] * 20)
    assert not rules.is_long_work(*["y" * 1_000] * 2)
    assert rules.is_long_work("\u044f" * 3_000)  # may be what nobody has written before
