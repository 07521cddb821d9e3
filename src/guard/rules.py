"""A tenant's rules compiled: what they say of a prompt, and what a stream of an answer is read with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from guard.alphabets import is_at_home
from guard.canonical import Canonical, canonical, literal
from guard.decoded import decoded
from guard.expressions import (
    MAX_PATTERN_CHARS,
    Expression,
    Expressions,
    InvalidPatternError,
    expression,
    greatest_width,
)
from guard.literals import Literal, Literals

MAX_INSTRUCTIONS = 100_000
"""Of all regular expressions of a tenant: a thousand with a hundred each. Compiled in a tenth of a second, and judged,
at worst, in some seconds for the longest prompt."""
MAX_TOLD = 5
"""Patterns that cannot be used: after so many the rest is not looked at, so that a bad config costs no more than a
good one."""
MAX_CANONICAL_CHARS = 131_072
"""Four times the longest prompt: there are characters that the canonical form writes out as eighteen."""
MAX_NESTED = 64
"""Literals that end in one another (`a`, `aa`, `aaa`…): where one ends, all do, and each is to be looked at."""
MAX_REDACTING = 100
"""Regular expressions that redact: each asks the whole text for all its places."""
REDACTED = "[REDACTED]"
MIN_BLOCK = 32
_BASE_WEIGHT = 8
_NESTED_WEIGHT = 100
"""Of a literal that may end where others end. One that stands there takes seven times as long; few do."""
_MAX_SPANS = 50_000
"""Of a prompt, before those that overlap are made one."""
_MAX_ALIKE = 64
"""Matches of an expression that only look-alike letters make, and that are looked at one by one."""


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


class UnusableRulesError(ValueError):
    """`faults`: places of rules that cannot be used, and why."""

    def __init__(self, faults: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"rule {place}: {reason}" for place, reason in faults))
        self.faults = tuple(faults)


class TextTooLongError(ValueError):
    """Its canonical form is longer than MAX_CANONICAL_CHARS."""


@dataclass(frozen=True, slots=True)
class OutputRules:
    """What a StreamGuard reads an answer with. `width`: canonical characters that a match of an expression has at
    most."""

    rules: tuple[Rule, ...]
    literals: Literals
    expressions: Expressions
    width: int

    @property
    def any(self) -> bool:
        return self.literals.any or self.expressions.any

    @property
    def block(self) -> int:
        """Canonical characters from one window to the next."""
        return max(MIN_BLOCK, self.width // 4)

    @property
    def weight(self) -> int:
        """The work for each character of an answer at worst, in about nanoseconds: where a token's is more than an
        event loop may be held up, the answer is to be read in a thread."""
        windows = (self.width + self.block) / self.block
        return _BASE_WEIGHT + _NESTED_WEIGHT * (self.literals.weight - 1) + round(windows * self.expressions.weight)

    def verdict(self, rank: int) -> Verdict:
        return _verdict(self.rules[rank], Stage.OUTPUT)


class InputGuard:
    """Immutable, shared by all requests under a config version."""

    def __init__(self, rules: tuple[Rule, ...], literals: Sequence[Literal], expressions: Sequence[Expression]) -> None:
        self._rules = rules
        self._refused = Literals(one for one in literals if not one.redacts)
        self._redacted = Literals(one for one in literals if one.redacts)
        self._refused_expressions = Expressions([one for one in expressions if not one.redacts])
        self._redacted_expressions = Expressions([one for one in expressions if one.redacts])
        self.weight = _weight(self._refused, self._refused_expressions)
        """The work for each character of a text at worst, in about nanoseconds."""
        self.redacting_weight = _weight(self._redacted, self._redacted_expressions)
        self.redacts = self._redacted.any or self._redacted_expressions.any

    def judge(self, text: str) -> Verdict | None:
        """What the first rule that matches, in the tenant's order, says of a prompt. Raises TextTooLongError."""
        judgement = self.begin(text)
        while not judgement.go_on():
            pass
        return judgement.verdict

    def begin(self, text: str) -> Judgement:
        return Judgement(self, text)

    def steps(self, text: str) -> Iterator[int | None]:
        """The lowest rank of all rules found so far, a piece of the work at a time."""
        if not self._refused.any and not self._refused_expressions.any:
            return
        best: int | None = None
        for reading in (text, decoded(text)):
            if not reading:
                continue
            form = canonical(reading)
            if len(form.skeleton) > MAX_CANONICAL_CHARS:
                raise TextTooLongError
            for found in self._refused.ranks(form) if self._refused.any else ():
                best = _lower(best, found)
                yield best
            for found in self._expressions_in(form):
                best = _lower(best, found)
                yield best

    def _expressions_in(self, form: Canonical) -> Iterator[int | None]:
        expressions = self._refused_expressions
        if not expressions.any:
            return
        found = set[int]()
        for text in expressions.forms(form):
            for part in expressions.passes(text):
                found |= {one.rank for one in part}
                yield min(found, default=None)
        if form.skeleton != form.plain:
            for part in expressions.passes(form.skeleton):
                for one in part:
                    if one.rank not in found and any(True for _ in disguised(one, form.plain, form.skeleton)):
                        found.add(one.rank)
                    yield min(found, default=None)

    def verdict(self, rank: int) -> Verdict:
        return _verdict(self._rules[rank], Stage.INPUT)

    def redacted(self, text: str) -> str:
        """The text without what the tenant's own rules redact in it."""
        return next(found for found in self.redacting(text) if found is not None)

    def redacting(self, text: str) -> Iterator[str | None]:
        """The same, at the end; None after each piece of the work."""
        if not self.redacts:
            yield text
            return
        form = canonical(text)
        spans: list[tuple[int, int]] = []
        for span in self._spans(form):
            if span is None:
                yield None
                continue
            spans.append(span)
            if len(spans) > _MAX_SPANS:
                spans = merged(spans)
        yield without(text, spans)

    def _spans(self, form: Canonical) -> Iterator[tuple[int, int] | None]:
        """In the original, of all that is redacted."""
        if self._redacted.any:
            for found in self._redacted.spans(form):
                yield found and form.span(*found)
        expressions = self._redacted_expressions
        if not expressions.any:
            return
        for text in expressions.forms(form):
            for part in expressions.passes(text):
                for one in part:
                    yield from one.spans(text) if text is form.text else (form.span(*span) for span in one.spans(text))
                    yield None
        if form.skeleton != form.plain:
            for part in expressions.passes(form.skeleton):
                for one in part:
                    yield from (form.span(*span) for span in disguised(one, form.plain, form.skeleton))
                    yield None


class Judgement:
    """One prompt before the rules, a piece of the work at a time, so that it may be left before its end."""

    def __init__(self, guard: InputGuard, text: str) -> None:
        self._guard = guard
        self._steps = guard.steps(text)
        self._best: int | None = None
        self.verdict: Verdict | None = None
        """Of the first rule that matched, once `go_on` has said that this is the end."""

    def go_on(self) -> bool:
        """Does a piece of the work, and says whether there is nothing more to do. Raises TextTooLongError."""
        try:
            self._best = next(self._steps)
        except StopIteration:
            pass
        else:
            if self._best != 0:
                return False
        self.verdict = None if self._best is None else self._guard.verdict(self._best)
        return True


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


def disguised(
    one: Expression, plain: str, skeleton: str, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, int]]:
    """Where an expression matches letters that look like others, other than in words that are at home there."""
    if skeleton == plain:
        return
    for looked_at, (first, last) in enumerate(one.spans(skeleton, start, end)):
        if looked_at == _MAX_ALIKE:
            return
        if plain[first:last] != skeleton[first:last] and not is_at_home(plain, first, last):
            yield first, last


def without(text: str, spans: Sequence[tuple[int, int]], placeholder: str = REDACTED) -> str:
    """The text with one placeholder for what overlapping spans cover."""
    parts: list[str] = []
    at = 0
    for start, end in merged(spans):
        parts += (text[at:start], placeholder)
        at = end
    return "".join((*parts, text[at:]))


def merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order; those that overlap as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _weight(literals: Literals, expressions: Expressions) -> int:
    return _BASE_WEIGHT + _NESTED_WEIGHT * (literals.weight - 1) + expressions.weight


def _lower(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _verdict(rule: Rule, stage: Stage) -> Verdict:
    return Verdict(rule.rule_id, rule.reason, stage)
