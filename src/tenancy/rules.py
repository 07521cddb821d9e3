"""A config's patterns, compiled in the order of judging. Not for an event loop: a thousand rules take their time."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from guard import compiled
from guard.compiled import CompiledGuards
from guard.rules import PatternType, Rule, UnusableRulesError
from tenancy.config import TenantConfig

SENSITIVE_PROMPT = "sensitive_prompt"


def compile_rules(config: TenantConfig, *, stored: bool = False) -> CompiledGuards:
    """Raises pydantic's ValidationError, which names the patterns that cannot be used, and the first with which the
    config has more instructions than are allowed. `stored`: an accepted config is not measured again."""
    try:
        return compiled.compile_rules(tuple(rules_of(config)), stored=stored)
    except UnusableRulesError as error:
        faults = [_fault(config, place, reason) for place, reason in error.faults]
        raise ValidationError.from_exception_data(TenantConfig.__name__, faults, hide_input=True) from None


def rules_of(config: TenantConfig) -> Iterator[Rule]:
    """Sensitive patterns first, then the rules as the tenant wrote them."""
    for number, pattern in enumerate(config.sensitive_prompt_patterns):
        yield Rule(f"sensitive_prompt_patterns[{number}]", SENSITIVE_PROMPT, PatternType.CONTAINS, pattern)
    for number, rule in enumerate(config.refusal_rules):
        rule_id = rule.id or f"refusal_rules[{number}]"
        yield Rule(rule_id, rule.reason, rule.type, rule.pattern, rule.stage, rule.action)


def _fault(config: TenantConfig, number: int, reason: str) -> InitErrorDetails:
    sensitive = len(config.sensitive_prompt_patterns)
    if number < sensitive:
        place: tuple[str, int] = ("sensitive_prompt_patterns", number)
    else:
        place = ("refusal_rules", number - sensitive)
    kind = PydanticCustomError("unusable_pattern", "pattern: {reason}", {"reason": reason})
    return InitErrorDetails(type=kind, loc=place, input=None)
