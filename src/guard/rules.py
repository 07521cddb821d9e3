"""A tenant's rules, before they are compiled, and what is said when one of them refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

REDACTED = "[REDACTED]"


class PatternType(StrEnum):
    CONTAINS = "contains"
    WORD = "word"
    REGEX = "regex"


class Stage(StrEnum):
    INPUT = "input"
    OUTPUT = "output"
    BOTH = "both"


class Action(StrEnum):
    REFUSE = "refuse"
    REDACT = "redact"


@dataclass(frozen=True, slots=True)
class Rule:
    rule_id: str
    reason: str
    type: PatternType
    pattern: str
    stage: Stage = Stage.INPUT
    action: Action = Action.REFUSE


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first rule that refuses. Never says what the rule looks for."""

    rule_id: str
    reason: str
    stage: Stage


def verdict(rule: Rule, stage: Stage) -> Verdict:
    return Verdict(rule.rule_id, rule.reason, stage)


class UnusableRulesError(ValueError):
    """`faults`: places of rules that cannot be used, and why."""

    def __init__(self, faults: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"rule {place}: {reason}" for place, reason in faults))
        self.faults = tuple(faults)


class TextTooLongError(ValueError):
    """Its canonical form is longer than is looked at."""
