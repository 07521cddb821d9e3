"""What is valid in a config and yet cannot be what was meant: rules that never speak, routes that always refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guard.canonical import literal
from guard.rules import Action, PatternType, Stage
from tenancy.config import TenantConfig

MAX_COMPARED = 75_000_000
"""Characters looked through for earlier literals, at each stage: 1,400 rules of 75 characters. What is longer is
compared as far as this goes, so that no config takes longer than others do."""

_GENERATED_ID = re.compile(r"(?:refusal_rules|sensitive_prompt_patterns)\[\d+\]")


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """`path` is the place in the config, as in `refusal_rules[12]`. `reason` names no pattern."""

    path: str
    reason: str


def warnings(config: TenantConfig) -> list[ConfigWarning]:
    """What to tell whoever writes this config. Pure; takes less than half a second, whatever the config."""
    return [*_unreachable_rules(config), *_doubtful_ids(config), *_refused_routes(config), *_limits(config)]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A pattern in the order of judging. `text` is what it looks for, in the form in which it is compared."""

    path: str
    type: PatternType
    text: str
    stage: Stage

    def speaks_at(self, stage: Stage) -> bool:
        return self.stage in {stage, Stage.BOTH}


def _judged(config: TenantConfig) -> Iterator[_Judged]:
    """What refuses. A rule that redacts is never in another's way."""
    for number, pattern in enumerate(config.sensitive_prompt_patterns):
        path = f"sensitive_prompt_patterns[{number}]"
        yield _Judged(path, PatternType.CONTAINS, literal(pattern).plain, Stage.INPUT)
    for number, rule in enumerate(config.refusal_rules):
        if rule.action is Action.REFUSE:
            text = rule.pattern if rule.type is PatternType.REGEX else literal(rule.pattern).plain
            yield _Judged(f"refusal_rules[{number}]", rule.type, text, rule.stage)


def _unreachable_rules(config: TenantConfig) -> Iterator[ConfigWarning]:
    """Rules that are never the one that is reported, at no stage of theirs."""
    rules = [rule for rule in _judged(config) if rule.text]
    unreachable = {
        stage: dict(_unreachable([rule for rule in rules if rule.speaks_at(stage)]))
        for stage in (Stage.INPUT, Stage.OUTPUT)
    }
    for rule in rules:
        stages = [stage for stage in unreachable if rule.speaks_at(stage)]
        earlier = [unreachable[stage].get(rule.path) for stage in stages]
        if all(earlier):
            yield ConfigWarning(rule.path, f"never the rule that is reported: {earlier[0]} matches whatever it matches")


def _unreachable(rules: Sequence[_Judged]) -> Iterator[tuple[str, str]]:
    """Paths of rules, and of an earlier one that matches whatever they match."""
    literals: dict[str, str] = {}
    others: dict[tuple[PatternType, str], str] = {}
    left = MAX_COMPARED
    for rule in rules:
        earlier = others.get((rule.type, rule.text))
        if earlier is None and rule.type is not PatternType.REGEX:
            earlier = literals.get(rule.text)
            work = len(literals) * len(rule.text)
            if earlier is None and work <= left:
                left -= work
                earlier = next((path for other, path in literals.items() if other in rule.text), None)
        if earlier is not None:
            # What this rule would make unreachable, the earlier one does: it need not be compared with any other.
            yield rule.path, earlier
        elif rule.type is PatternType.CONTAINS:
            literals[rule.text] = rule.path
        else:
            others[rule.type, rule.text] = rule.path


def _doubtful_ids(config: TenantConfig) -> Iterator[ConfigWarning]:
    """Ids from which nobody can tell which rule it was. A rule without one is named by its place."""
    first: dict[str, str] = {}
    for number, rule in enumerate(config.refusal_rules):
        path = f"refusal_rules[{number}]"
        if rule.id is None:
            continue
        if (earlier := first.setdefault(rule.id, path)) != path:
            yield ConfigWarning(path, f"has the same id as {earlier}")
        if rule.id != path and _GENERATED_ID.fullmatch(rule.id):
            yield ConfigWarning(path, "its id looks like that of another rule, which is named by its place")


def _refused_routes(config: TenantConfig) -> Iterator[ConfigWarning]:
    tools = {route.name: route.tools for route in config.all_routes()}
    blocked = set(config.blocked_tools)
    for number, name in enumerate(config.allowed_routes):
        if not blocked.isdisjoint(tools[name]):
            yield ConfigWarning(f"allowed_routes[{number}]", "always refused: a tool that it needs is blocked")
    for number, route in enumerate(config.routes):
        if route.name not in config.allowed_routes:
            yield ConfigWarning(f"routes[{number}]", "not among allowed_routes: whatever belongs to it is refused")


def _limits(config: TenantConfig) -> Iterator[ConfigWarning]:
    if config.rate_limit_per_hour < config.rate_limit_per_minute:
        yield ConfigWarning("rate_limit_per_hour", "lower than rate_limit_per_minute, which can never be reached")
