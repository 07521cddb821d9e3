"""What is valid in a config and yet cannot be what was meant: rules that never speak, routes that always refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tenancy.config import TenantConfig
from tenancy.patterns import PatternType, canonical

MAX_COMPARED = 150_000_000
"""Characters looked through for earlier literals: 2,000 rules of 75 characters. What is longer is compared as far as
this goes, so that no config takes longer than others do."""

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


def _judged(config: TenantConfig) -> Iterator[_Judged]:
    for number, pattern in enumerate(config.sensitive_prompt_patterns):
        yield _Judged(f"sensitive_prompt_patterns[{number}]", PatternType.CONTAINS, canonical(pattern))
    for number, rule in enumerate(config.refusal_rules):
        text = rule.pattern if rule.type is PatternType.REGEX else canonical(rule.pattern)
        yield _Judged(f"refusal_rules[{number}]", rule.type, text)


def _unreachable_rules(config: TenantConfig) -> Iterator[ConfigWarning]:
    """Rules that are never the one that is reported: whatever they match, an earlier one matches too."""
    literals: dict[str, str] = {}
    others: dict[tuple[PatternType, str], str] = {}
    left = MAX_COMPARED
    for rule in _judged(config):
        earlier = others.get((rule.type, rule.text))
        if earlier is None and rule.type is not PatternType.REGEX:
            earlier = literals.get(rule.text)
            work = len(literals) * len(rule.text)
            if earlier is None and work <= left:
                left -= work
                earlier = next((path for literal, path in literals.items() if literal in rule.text), None)
        if earlier is not None:
            # What this rule would make unreachable, the earlier one does: it need not be compared with any other.
            yield ConfigWarning(rule.path, f"never the rule that is reported: {earlier} matches whatever it matches")
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
