"""A tenant's rules compiled: once for all requests under a config version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guard.answers import OutputRules
from guard.canonical import literal
from guard.expressions import (
    MAX_PATTERN_CHARS,
    Expression,
    Expressions,
    InvalidPatternError,
    expression,
    greatest_width,
)
from guard.literals import Literal, Literals
from guard.prompts import InputGuard
from guard.rules import Action, PatternType, Rule, Stage, UnusableRulesError

MAX_INSTRUCTIONS = 100_000
"""Of all regular expressions of a tenant: a thousand with a hundred each. Compiled in a tenth of a second, and judged,
at worst, in some seconds for the longest prompt."""
MAX_TOLD = 5
"""Patterns that cannot be used: after so many the rest is not looked at, so that a bad config costs no more than a
good one."""
MAX_NESTED = 64
"""Literals that end in one another (`a`, `aa`, `aaa`…): where one ends, all do, and each is to be looked at."""
MAX_REDACTING = 100
"""Regular expressions that redact: each asks the whole text for all its places."""


@dataclass(frozen=True, slots=True)
class CompiledGuards:
    input: InputGuard
    output: OutputRules


def compile_rules(rules: Sequence[Rule], *, stored: bool = False) -> CompiledGuards:
    """Raises UnusableRulesError, which names the rules that cannot be used, and the first with which they go beyond
    MAX_INSTRUCTIONS. `stored`: rules that were accepted once are not measured again.

    Not for an event loop: a thousand regular expressions take their time.
    """
    literals: dict[int, Literal] = {}
    expressions: dict[int, Expression] = {}
    faults: list[tuple[int, str]] = []
    instructions = 0
    for rank, rule in enumerate(rules):
        try:
            compiled = _compiled(rank, rule, stored=stored)
        except InvalidPatternError as error:
            faults.append((rank, str(error)))
            if len(faults) == MAX_TOLD:
                break
            continue
        if isinstance(compiled, Literal):
            literals[rank] = compiled
            continue
        expressions[rank] = compiled
        instructions += compiled.weight
        if instructions > MAX_INSTRUCTIONS and not stored:
            faults.append((rank, f"the regular expressions up to here have more than {MAX_INSTRUCTIONS} instructions"))
            break
    if not faults and not stored:
        faults += _too_dear(list(literals.values()), list(expressions.values()))
    if faults:
        raise UnusableRulesError(faults)
    return _guards(tuple(rules), literals, expressions)


def _too_dear(literals: Sequence[Literal], expressions: Sequence[Expression]) -> Iterator[tuple[int, str]]:
    """What a tenant's every character would have to be looked at for again and again."""
    rank = _deepest(literals)
    if rank is not None:
        yield rank, f"more than {MAX_NESTED} patterns end in one another, this one among them"
    redacting = [one for one in expressions if one.redacts]
    if len(redacting) > MAX_REDACTING:
        yield redacting[MAX_REDACTING].rank, f"more than {MAX_REDACTING} regular expressions redact"


def _deepest(literals: Sequence[Literal]) -> int | None:
    """A literal with which more than MAX_NESTED literals end, itself included."""
    backwards = sorted({literal(one.pattern).skeleton[::-1]: one.rank for one in literals}.items())
    inside: list[str] = []
    for text, rank in backwards:
        while inside and not text.startswith(inside[-1]):
            inside.pop()
        inside.append(text)
        if len(inside) > MAX_NESTED:
            return rank
    return None


def _compiled(rank: int, rule: Rule, *, stored: bool) -> Literal | Expression:
    redacts = rule.action is Action.REDACT
    if "\0" in rule.pattern:
        raise InvalidPatternError("contains a NUL")
    if len(rule.pattern) > MAX_PATTERN_CHARS and not stored:
        raise InvalidPatternError(f"longer than {MAX_PATTERN_CHARS} characters")
    if rule.type is PatternType.REGEX:
        return expression(rank, rule.pattern, redacts=redacts, stored=stored)
    if not literal(rule.pattern).plain and not stored:
        raise InvalidPatternError("the pattern is empty: nothing of it can be seen")
    return Literal(rank, rule.pattern, rule.type is PatternType.WORD, redacts)


def _guards(
    rules: tuple[Rule, ...], literals: dict[int, Literal], expressions: dict[int, Expression]
) -> CompiledGuards:
    def of(stage: Stage) -> tuple[list[Literal], list[Expression]]:
        ranks = {rank for rank, rule in enumerate(rules) if rule.stage in {stage, Stage.BOTH}}
        return (
            [one for rank, one in literals.items() if rank in ranks],
            [one for rank, one in expressions.items() if rank in ranks],
        )

    said, found = of(Stage.OUTPUT)
    width = max((greatest_width(rules[one.rank].pattern) for one in found), default=0)
    return CompiledGuards(
        InputGuard(rules, *of(Stage.INPUT)), OutputRules(rules, Literals(said), Expressions(found), width)
    )
