"""A config version's rules on a prompt, before anything is sent on."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.chat import Refusal
from contracts.errors import PromptTooLongError
from guard import prompts
from guard.compiled import CompiledGuards
from guard.rules import Stage, TextTooLongError, Verdict
from tenancy.rules import SENSITIVE_PROMPT

SENSITIVE_MESSAGE = "I can't help with requests about sensitive information such as this one."
LONG_WORK = 1_000_000
"""Nanoseconds at worst, as far as they can be told before: some milliseconds. Literals, however many, are judged at
once, but for long texts of other alphabets than ASCII."""


class RefusalRules:
    """Compiled once, shared by all requests under the version."""

    def __init__(self, guards: CompiledGuards) -> None:
        self.guards = guards

    def is_long_work(self, *texts: str) -> bool:
        """Whether judging would hold up an event loop for more than some milliseconds."""
        return self.guards.input.work(*texts) > LONG_WORK

    def judge(self, *texts: str) -> Refusal | None:
        """The refusal of the first rule, in the tenant's order, that matches any of a prompt's texts. Names the rule,
        never its pattern."""
        judgement = self.begin(*texts)
        while not judgement.go_on():
            pass
        return judgement.refusal

    def begin(self, *texts: str) -> Judgement:
        return Judgement(self.guards, texts)


class Judgement:
    """One prompt before the rules, a piece of the work at a time, so that it may be left before its end."""

    def __init__(self, guards: CompiledGuards, texts: Sequence[str]) -> None:
        self._judgement: prompts.Judgement = guards.input.begin(*texts)
        self.refusal: Refusal | None = None
        """Of the first rule that matched, once `go_on` has said that this is the end."""

    def go_on(self) -> bool:
        """Does a piece of the work, and says whether there is nothing more to do. Raises PromptTooLongError."""
        try:
            ended = self._judgement.go_on()
        except TextTooLongError:
            raise PromptTooLongError("written out, the ligatures of the question are too long") from None
        if ended and (verdict := self._judgement.verdict):
            self.refusal = refusal(verdict)
        return ended


def refusal(verdict: Verdict) -> Refusal:
    """What the user is told. `stage` of a verdict is `input` or `output`."""
    message = SENSITIVE_MESSAGE if verdict.reason == SENSITIVE_PROMPT else f"I can't help with that: {verdict.reason}."
    stage = "output" if verdict.stage is Stage.OUTPUT else "input"
    return Refusal(reason=verdict.reason, rule_id=verdict.rule_id, stage=stage, message=message)
