"""An answer before a tenant's rules while it is being written: what may leave leaves at once, what is refused never.

With literals, only the end of the text is held back with which one of them may begin. An expression is looked for in
windows at fixed places of the text, so that it does not matter where the stream is cut: each match of at most
`OutputRules.width` canonical characters lies in one of them, and the last window's length is held back.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from guard.alphabets import REACH
from guard.answers import OutputRules
from guard.canonical import Canonical, canonical
from guard.expressions import Expression
from guard.literals import Match, is_match
from guard.looks import disguised
from guard.pending import Pending
from guard.replacing import Redactor, Replacements
from guard.rules import REDACTED, Rule, Verdict

_MAX_TEXT = 1_024
"""Characters that are kept of a simple stream before its beginning is let go, for which all are read."""
_READING = 1_000
"""Nanoseconds to read a character, where each has marks or is in a form of its own."""
_HELD_SHARE = 8
"""Of what is held back, what must have come since it was read before. Of a literal of two thousand letters, that a text
repeats, all would be read for each token; one of less than sixteen is held no longer for it."""


class _Hit(NamedTuple):
    """`known_at`: how much of the text must be known to say so. The first that can be said is the one that is."""

    known_at: int
    rank: int


class StreamGuard:
    """One answer's. `feed` it all that the model says; what it returns may leave. Once `verdict` is there, nothing
    more does. For one thread at a time; pure."""

    def __init__(self, rules: OutputRules, redactor: Redactor | None = None) -> None:
        self.verdict: Verdict | None = None
        self.redacted: dict[int, Rule] = {}
        """Rules that replaced something, by their rank."""
        self._rules = rules
        self._redactor = redactor
        self._literals = rules.literals
        self._weight = _READING + rules.weight
        self._block = rules.block
        self._ready = rules.any or redactor is not None
        # The end of the answer, as far as it is still needed; all places are counted from its beginning.
        self._text = ""
        self._out = 0  # characters that have left
        self._held = 0  # canonical characters in which no literal can begin any more
        self._pending = Pending()  # what of it has not left, while the stream is simple
        # With expressions nothing leaves, and nothing is known, before another window is full.
        self._unread, self._enough = 0, self._block if rules.expressions.any else 1
        self._literals_only = not rules.expressions.any and redactor is None and rules.literals.any
        self._simple = self._literals_only
        # What was let go before it.
        self._gone = 0
        self._gone_canonical = 0
        self._window = 0  # canonical characters of the whole answer before the next window
        self._redacted = 0  # characters of the whole answer in which all is found that is to be replaced
        self._spans = Replacements()

    def feed(self, text: str) -> str:
        """What may leave now."""
        if self.verdict is not None:
            return ""
        if not self._ready or not text:
            return text
        if self._simple:
            left = self._feed_simple(text)
            if left is not None:
                return left
            self._simple = False
        self._text += text
        self._unread += len(text)
        if not self._is_due(0):
            return ""
        self._unread = 0
        return self._read(final=False)

    def work(self, text: str = "") -> int:
        """About how many nanoseconds it takes at worst to feed this; or to finish, without a text."""
        if self.verdict is not None or (text and not self._simple and not self._is_due(len(text))):
            return 0
        length = len(self._text) + len(text)
        if self._redactor is None:
            return length * self._weight
        return length * (self._weight + self._redactor.weight(self._text + text))

    def _is_due(self, more: int) -> bool:
        """All that is held back is read again: so the longer it is, the less often."""
        held = len(self._text) + more - self._out
        return self._unread + more >= max(self._enough, held // _HELD_SHARE)

    def finish(self) -> str:
        """The rest, when the answer has ended."""
        if self.verdict is not None or not self._ready:
            return ""
        return self._read(final=True)

    def _feed_simple(self, text: str) -> str | None:
        """None: it must be read with more care."""
        if len(self._text) > _MAX_TEXT:
            return None
        found = self._pending.feed(self._literals, self._text, text)
        if found is None:
            return None
        left, held = found
        self._text += text
        first, self._out = self._out, self._out + left
        self._held += held
        return self._text[first : self._out]

    def _read(self, *, final: bool) -> str:
        whole = canonical(self._text)
        settled = len(whole.plain) if final else _settled(whole)
        limit, hits = self._read_literals(whole, settled, final=final)
        if self._rules.expressions.any:
            hits += self._read_windows(whole, settled, final=final)
            limit = min(limit, self._window - self._gone_canonical)
        if hits:
            self._refuse(min(hits))
            return ""
        limit = len(self._text) if final or limit >= len(whole.plain) else whole.offsets[limit]
        if self._redactor is not None:
            self._redact(self._redactor, final=final)
            limit = min(limit, self._redacted - self._gone)
        left = self._leave(limit)
        if not final:
            self._forget(whole)
        return left

    def _refuse(self, hit: _Hit) -> None:
        self.verdict = self._rules.verdict(hit.rank)
        self._text = ""

    def _read_literals(self, whole: Canonical, settled: int, *, final: bool) -> tuple[int, list[_Hit]]:
        """Where what must be held back begins, and what refuses."""
        length, hits = len(whole.plain), list[_Hit]()
        if not self._literals.any:
            return length, hits
        held = length if final else self._literals.held(whole.plain, whole.skeleton, self._held)
        for match, is_alike in self._literals.candidates(whole, self._held):
            known_at = match.end + (REACH if is_alike else 0)
            if not final and (known_at > settled or match.end >= length):
                held = min(held, match.start)
            elif is_match(whole, match, is_alike=is_alike):
                if match.entry.redacts:
                    self._redacts(match.entry.rank, *whole.span(match.start, match.end))
                else:
                    hits.append(_hit(self._gone_canonical + min(known_at, length), match))
        self._held = held
        return held, hits

    def _read_windows(self, whole: Canonical, settled: int, *, final: bool) -> list[_Hit]:
        hits = list[_Hit]()
        while not hits:
            begin = self._window - self._gone_canonical
            end = begin + self._rules.width + self._block
            known_at = end + REACH + 1
            if (known_at > settled and not final) or begin >= len(whole.plain):
                break
            known_at = self._gone_canonical + min(known_at, len(whole.plain))
            end = min(end, len(whole.plain))
            hits += (_Hit(known_at, one.rank) for one in self._window_hits(whole, begin, end))
            self._window += self._block
        return hits

    def _window_hits(self, whole: Canonical, begin: int, end: int) -> list[Expression]:
        """Expressions that refuse what stands there. What is redacted is noted."""
        refused = self._found(whole.plain, begin, end, whole)
        first, last = whole.offsets[begin], whole.offsets[end]
        written = whole.text[first:last]
        if self._rules.expressions.tell_apart(written, whole.plain[begin:end]):
            refused += self._found(whole.text, first, last, None)
        if whole.skeleton[begin:end] != whole.plain[begin:end]:
            for one in self._possible(whole.skeleton, begin, end):
                spans = list(filter(None, disguised(one, whole.plain, whole.skeleton, begin, end)))
                if spans and not one.redacts:
                    refused.append(one)
                for span in spans if one.redacts else ():
                    self._redacts(one.rank, *whole.span(*span))
        return refused

    def _found(self, text: str, begin: int, end: int, whole: Canonical | None) -> list[Expression]:
        """`whole`: when `text` is its plain form, and not the original."""
        refused = []
        for one in self._possible(text, begin, end):
            if not one.redacts:
                if one.occurs(text, begin, end):
                    refused.append(one)
                continue
            for span in one.spans(text, begin, end):
                self._redacts(one.rank, *(span if whole is None else whole.span(*span)))
        return refused

    def _possible(self, text: str, begin: int, end: int) -> list[Expression]:
        """With a character more on either side, so that none is missed for what it says of its neighbours."""
        part = text[max(0, begin - 1) : end + 1]
        return [one for found in self._rules.expressions.passes(part) for one in found]

    def _redact(self, redactor: Redactor, *, final: bool) -> None:
        settled = len(self._text) if final else redactor.settled(self._text)
        if settled <= self._redacted - self._gone:
            return  # most tokens end no word
        for span in redactor.spans(self._text):
            if self._redacted - self._gone <= span.start < settled:
                self._replace(span.start, span.end, span.placeholder)
        self._redacted = max(self._redacted, self._gone + settled)

    def _redacts(self, rank: int, start: int, end: int) -> None:
        self.redacted.setdefault(rank, self._rules.rules[rank])
        self._replace(start, end, REDACTED)

    def _replace(self, start: int, end: int, placeholder: str) -> None:
        self._spans.note(self._gone + start, self._gone + end, placeholder)

    def _leave(self, limit: int) -> str:
        """What stands before `limit` and has not left, with placeholders."""
        if not self._spans:
            left = self._text[self._out : limit]
            self._out = max(self._out, limit)
            return left
        left, out = self._spans.leaving(self._text, self._gone, self._gone + self._out, self._gone + limit)
        self._out = out - self._gone
        return left

    def _forget(self, whole: Canonical) -> None:
        """Keeps what has not left, and of the text before it as much as what comes may ask for."""
        offsets = whole.offsets
        first = min(self._held, len(whole.plain))
        if self._rules.expressions.any:
            first = min(first, self._window - self._gone_canonical)
        raw = min(self._out, offsets[max(0, first - REACH - 1)])
        if self._redactor is not None:
            raw = min(raw, self._redacted - self._gone - self._redactor.look_behind)
        gone = max(0, bisect_right(offsets, max(0, raw)) - 1)
        gone = min(gone, max(0, len(whole.plain) - REACH - 1))
        while gone and offsets[gone] == offsets[gone - 1]:
            gone -= 1
        raw = offsets[gone] if gone else 0
        self._text = self._text[raw:]
        self._gone += raw
        self._gone_canonical += gone
        self._out -= raw
        self._held -= gone
        held = gone + self._held
        same_place = held == len(whole.plain) or offsets[held] == raw + self._out
        self._simple = self._literals_only and not self._spans and same_place
        if self._simple:
            self._pending.begin(whole, held)


def guarded(rules: OutputRules, text: str, redactor: Redactor | None = None) -> tuple[str, Verdict | None]:
    """A whole answer, as a stream would have let it through."""
    guard = StreamGuard(rules, redactor)
    left = guard.feed(text)
    return left + guard.finish(), guard.verdict


def weight(rules: OutputRules, text: str, redactor: Redactor | None = None) -> int:
    """The work for each character of this text at worst, in about nanoseconds."""
    return _READING + rules.weight + (redactor.weight(text) if redactor is not None else 0)


def _hit(known_at: int, match: Match) -> _Hit:
    return _Hit(known_at, match.entry.rank)


def _settled(whole: Canonical) -> int:
    """Canonical characters that stay as they are whatever follows: the last may yet get marks."""
    length = len(whole.plain)
    if not length or whole.plain[-1] == " ":
        return length
    offsets = whole.offsets
    length -= 1
    while length and offsets[length - 1] == offsets[length]:
        length -= 1
    return length
