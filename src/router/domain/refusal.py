"""Refusal rules of one config version, compiled once, applied to a prompt before anything is sent on."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.chat import Refusal
from tenancy.config import TenantConfig
from tenancy.patterns import Matcher, PatternType, canonical, compile_pattern

SENSITIVE_PROMPT = "sensitive_prompt"
SENSITIVE_MESSAGE = "I can't help with requests about sensitive information such as this one."


LONG_WORK = 200_000
"""Characters times rules: 100 rules for a prompt of 2,000 characters are still judged at once."""


@dataclass(frozen=True, slots=True)
class _Rule:
    rule_id: str
    reason: str
    message: str
    matches: Matcher


class RefusalRules:
    """The rules in the order in which the tenant wrote them, sensitive patterns first."""

    def __init__(self, config: TenantConfig) -> None:
        sensitive = (
            _Rule(
                f"sensitive_prompt_patterns[{number}]",
                SENSITIVE_PROMPT,
                SENSITIVE_MESSAGE,
                compile_pattern(PatternType.CONTAINS, pattern),
            )
            for number, pattern in enumerate(config.sensitive_prompt_patterns)
        )
        written = (
            _Rule(
                rule.id or f"refusal_rules[{number}]",
                rule.reason,
                f"I can't help with that: {rule.reason}.",
                compile_pattern(rule.type, rule.pattern),
            )
            for number, rule in enumerate(config.refusal_rules)
        )
        self._rules = (*sensitive, *written)

    def is_long_work(self, prompt: str) -> bool:
        """Whether judging would hold up an event loop for more than some milliseconds."""
        return len(prompt) * len(self._rules) > LONG_WORK

    def judge(self, prompt: str) -> Refusal | None:
        """The refusal of the first rule that matches. Names the rule, never its pattern."""
        if not self._rules:
            return None
        # As written too: an expression may name what the canonical form has folded away.
        forms = dict.fromkeys((canonical(prompt), prompt))
        for rule in self._rules:
            if any(rule.matches(form) for form in forms):
                return Refusal(reason=rule.reason, rule_id=rule.rule_id, stage="input", message=rule.message)
        return None
