"""Refusal rules of one config version, compiled once, applied to a prompt before anything is sent on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.chat import Refusal
from contracts.errors import PromptTooLongError
from tenancy.config import TenantConfig
from tenancy.patterns import Matcher, canonical
from tenancy.rules import CompiledRules

SENSITIVE_PROMPT = "sensitive_prompt"
SENSITIVE_MESSAGE = "I can't help with requests about sensitive information such as this one."


LONG_WORK = 1_000_000
"""Characters times the rules' weight: some milliseconds at worst. A hundred literals for a prompt of 10,000 characters
are still judged at once."""

MAX_CANONICAL_CHARS = 131_072
"""Four times the longest prompt: there are characters that the canonical form writes out as eighteen."""


@dataclass(frozen=True, slots=True)
class _Rule:
    rule_id: str
    reason: str
    message: str
    matches: Matcher


class RefusalRules:
    """The rules in the order in which the tenant wrote them, sensitive patterns first."""

    def __init__(self, config: TenantConfig, compiled: CompiledRules) -> None:
        sensitive = (
            _Rule(f"sensitive_prompt_patterns[{number}]", SENSITIVE_PROMPT, SENSITIVE_MESSAGE, pattern.matches)
            for number, pattern in enumerate(compiled.sensitive)
        )
        written = (
            _Rule(
                rule.id or f"refusal_rules[{number}]",
                rule.reason,
                f"I can't help with that: {rule.reason}.",
                pattern.matches,
            )
            for number, (rule, pattern) in enumerate(zip(config.refusal_rules, compiled.written, strict=True))
        )
        self._rules = (*sensitive, *written)
        self._weight = sum(pattern.weight for pattern in (*compiled.sensitive, *compiled.written))

    def is_long_work(self, prompt: str) -> bool:
        """Whether judging would hold up an event loop for more than some milliseconds."""
        return len(prompt) * self._weight > LONG_WORK

    def judge(self, prompt: str) -> Refusal | None:
        """The refusal of the first rule that matches. Names the rule, never its pattern."""
        judgement = self.begin(prompt)
        while not judgement.go_on():
            pass
        return judgement.refusal

    def begin(self, prompt: str) -> Judgement:
        return Judgement(self._rules, prompt)


class Judgement:
    """One prompt before the rules, a rule at a time, so that it may be left before its end."""

    def __init__(self, rules: Sequence[_Rule], prompt: str) -> None:
        self._rules = iter(rules)
        self._prompt = prompt
        self._forms: tuple[str, ...] = ()
        self.refusal: Refusal | None = None
        """Of the first rule that matched, once `go_on` has said that this is the end."""

    def go_on(self) -> bool:
        """Asks the next rule, and says whether there is nothing more to ask. Raises PromptTooLongError."""
        rule = next(self._rules, None)
        if rule is None:
            return True
        if not self._forms:
            # As written too: an expression may name what the canonical form has folded away.
            form = canonical(self._prompt)
            if len(form) > MAX_CANONICAL_CHARS:
                raise PromptTooLongError("written out, the ligatures of the question are too long")
            self._forms = tuple(dict.fromkeys((form, self._prompt)))
        if not any(rule.matches(form) for form in self._forms):
            return False
        self.refusal = Refusal(reason=rule.reason, rule_id=rule.rule_id, stage="input", message=rule.message)
        return True
