"""A config's patterns, compiled in the order of judging. Not for an event loop: a thousand rules take their time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from tenancy.config import TenantConfig
from tenancy.patterns import CompiledPattern, InvalidPatternError, PatternType, compile_pattern

MAX_INSTRUCTIONS = 100_000
"""Of all regular expressions of a config: a thousand with a hundred each. Compiled in a tenth of a second, and judged,
at worst, in some seconds for the longest prompt."""
MAX_TOLD = 5
"""Patterns that cannot be used: after so many the rest is not looked at, so that a bad config costs no more than a
good one."""

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """One for each of the config's patterns, in its order."""

    sensitive: tuple[CompiledPattern, ...]
    written: tuple[CompiledPattern, ...]


def compile_rules(config: TenantConfig, *, stored: bool = False) -> CompiledRules:
    """Raises pydantic's ValidationError, which names the patterns that cannot be used, and the first with which the
    config goes beyond MAX_INSTRUCTIONS. `stored`: an accepted config is not measured again."""
    compiled: list[CompiledPattern] = []
    faults: list[InitErrorDetails] = []
    instructions = 0
    for place, kind, pattern in _patterns(config):
        try:
            found = compile_pattern(kind, pattern, stored=stored)
        except InvalidPatternError as error:
            faults.append(_fault(place, str(error)))
            if len(faults) == MAX_TOLD:
                break
            continue
        compiled.append(found)
        instructions += found.weight if kind is PatternType.REGEX else 0
        if instructions > MAX_INSTRUCTIONS and not stored:
            faults.append(
                _fault(place, f"the regular expressions up to here have more than {MAX_INSTRUCTIONS} instructions")
            )
            break
    if faults:
        raise ValidationError.from_exception_data(TenantConfig.__name__, faults, hide_input=True)
    count = len(config.sensitive_prompt_patterns)
    return CompiledRules(tuple(compiled[:count]), tuple(compiled[count:]))


def _patterns(config: TenantConfig) -> Iterator[tuple[Place, PatternType, str]]:
    for number, pattern in enumerate(config.sensitive_prompt_patterns):
        yield ("sensitive_prompt_patterns", number), PatternType.CONTAINS, pattern
    for number, rule in enumerate(config.refusal_rules):
        yield ("refusal_rules", number), rule.type, rule.pattern


def _fault(place: Place, reason: str) -> InitErrorDetails:
    kind = PydanticCustomError("unusable_pattern", "pattern: {reason}", {"reason": reason})
    return InitErrorDetails(type=kind, loc=place, input=None)
