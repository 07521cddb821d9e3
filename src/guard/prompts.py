"""Prompts before a tenant's compiled rules: which refuses them, and what is redacted in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guard.canonical import Canonical, canonical
from guard.decoded import readings
from guard.expressions import Expression, Expressions
from guard.literals import Literal, Literals
from guard.looks import disguised
from guard.rules import REDACTED, Rule, Stage, TextTooLongError, Verdict, verdict

MAX_CANONICAL_CHARS = 131_072
"""Four times the longest prompt: there are characters that the canonical form writes out as eighteen."""
BASE_WEIGHT = 8
NESTED_WEIGHT = 100
"""Of a literal that may end where others end. One that stands there takes seven times as long; few do."""
_DECODED_WEIGHT = 300
"""Of any character: that is what it takes where all of the text is to be decoded."""
_UNREAD_WEIGHT = 500
"""Of a character beyond ASCII: that is what it takes where nobody has written it before, with what is written onto
it."""
_MAX_SPANS = 2_000
"""Of a prompt, before those that overlap are made one: sorting them is one step, in which no other thread runs."""


class InputGuard:
    """Immutable, shared by all requests under a config version."""

    def __init__(self, rules: tuple[Rule, ...], literals: Sequence[Literal], expressions: Sequence[Expression]) -> None:
        self._rules = rules
        self._refused = Literals(one for one in literals if not one.redacts)
        self._redacted = Literals(one for one in literals if one.redacts)
        self._refused_expressions = Expressions([one for one in expressions if not one.redacts])
        self._redacted_expressions = Expressions([one for one in expressions if one.redacts])
        self._weight = _weight(self._refused, self._refused_expressions)
        self._redacting_weight = _weight(self._redacted, self._redacted_expressions)
        self.redacts = self._redacted.any or self._redacted_expressions.any

    def judge(self, *texts: str) -> Verdict | None:
        """What the first rule that matches, in the tenant's order, says of a prompt. Each of its texts is looked at by
        itself: a rule is not found partly in one and partly in the next. Raises TextTooLongError."""
        judgement = self.begin(*texts)
        while not judgement.go_on():
            pass
        return judgement.verdict

    def begin(self, *texts: str) -> Judgement:
        return Judgement(self, texts)

    def work(self, *texts: str) -> int:
        """The nanoseconds that it takes to judge them, at worst."""
        return _work(self._weight, texts)

    def redacting_work(self, *texts: str) -> int:
        return _work(self._redacting_weight, texts)

    def steps(self, *texts: str) -> Iterator[int | None]:
        """The lowest rank of all rules found so far, a piece of the work at a time."""
        if not self._refused.any and not self._refused_expressions.any:
            return
        best: int | None = None
        for text in texts:
            for found in self._ranks_in(text):
                best = _lower(best, found)
                yield best

    def _ranks_in(self, text: str) -> Iterator[int | None]:
        form = canonical(text)
        yield from self._ranks_of(form)
        for reading in readings(text, form.plain):
            yield from self._ranks_of(reading)

    def _ranks_of(self, form: Canonical) -> Iterator[int | None]:
        if len(form.skeleton) > MAX_CANONICAL_CHARS:
            raise TextTooLongError
        if self._refused.any:
            yield from self._refused.ranks(form)
        yield from self._expressions_in(form)

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
                    for span in disguised(one, form.plain, form.skeleton) if one.rank not in found else ():
                        if span is not None:
                            found.add(one.rank)
                            break
                        yield min(found, default=None)
                    yield min(found, default=None)

    def verdict(self, rank: int) -> Verdict:
        return verdict(self._rules[rank], Stage.INPUT)

    def redacted(self, text: str) -> str:
        """The text without what the tenant's own rules redact in it."""
        return next(found for found in self.redacting(text) if found is not None)

    def redacting(self, text: str, hits: set[int] | None = None) -> Iterator[str | None]:
        """The same, at the end; None after each piece of the work. Into `hits` come the ranks of rules that hit."""
        if not self.redacts:
            yield text
            return
        form = canonical(text)
        spans: list[tuple[int, int]] = []
        most = _MAX_SPANS
        for span in self._spans(form):
            if span is None:
                yield None
                continue
            start, end, rank = span
            spans.append((start, end))
            if hits is not None:
                hits.add(rank)
            if len(spans) > most:
                spans = merged(spans)
                most = max(_MAX_SPANS, 2 * len(spans))
        yield without(text, spans)

    def redacting_rule(self, rank: int) -> Rule:
        return self._rules[rank]

    def _spans(self, form: Canonical) -> Iterator[tuple[int, int, int] | None]:
        """In the original, of all that is redacted, with the rule's rank."""
        if self._redacted.any:
            for found in self._redacted.spans(form):
                yield found and (*form.span(*found[:2]), found[2])
        expressions = self._redacted_expressions
        if not expressions.any:
            return
        for text in expressions.forms(form):
            for part in expressions.passes(text):
                for one in part:
                    for span in one.spans(text):
                        yield (*(span if text is form.text else form.span(*span)), one.rank)
                    yield None
        if form.skeleton != form.plain:
            for part in expressions.passes(form.skeleton):
                for one in part:
                    for alike in disguised(one, form.plain, form.skeleton):
                        yield alike and (*form.span(*alike), one.rank)
                    yield None


class Judgement:
    """One prompt before the rules, a piece of the work at a time, so that it may be left before its end."""

    def __init__(self, guard: InputGuard, texts: Sequence[str]) -> None:
        self._guard = guard
        self._steps = guard.steps(*texts)
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


def _work(weight: int, texts: Sequence[str]) -> int:
    return sum(len(text) * (weight + (_DECODED_WEIGHT if text.isascii() else _UNREAD_WEIGHT)) for text in texts)


def _weight(literals: Literals, expressions: Expressions) -> int:
    """For each character, in about nanoseconds."""
    return BASE_WEIGHT + NESTED_WEIGHT * (literals.weight - 1) + expressions.weight


def _lower(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)
