"""What is ruled out before it is looked for: never a rule that matches."""

from __future__ import annotations

import random
import re

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from guard.canonical import canonical
from guard.expression_filter import ExpressionFilter
from guard.expressions import Expression, Expressions, expression
from guard.literal_filter import MIN_LITERALS, LiteralFilter
from guard.literals import Literal, Literals

LETTERS = "abkKsS\u017f\u212aіıİßẞσςΣåÅ\u212bǅ1 -\n日"
ATOMS = st.sampled_from(LETTERS).map(re.escape) | st.sampled_from(
    [".", r"\b", r"\B", "^", "$", r"\A", r"\z", r"\w", r"\W", r"\s", r"\d", "[^a]", "[ab]", "[^ks]", r"\pL", "(?:)"]
)
FLAGS = st.sampled_from(["", "(?i)", "(?-i)", "(?s)", "(?m)", "(?im)", "(?s-i)"])


def _patterns() -> st.SearchStrategy[str]:
    def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        repeated = st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,3}", "{2,}", "*?"])).map(
            lambda one: f"(?:{one[0]}){one[1]}"
        )
        either = st.lists(inner, min_size=2, max_size=4).map(lambda ones: f"(?:{'|'.join(ones)})")
        return repeated | either | st.lists(inner, min_size=1, max_size=4).map("".join)

    grown_patterns = st.recursive(ATOMS, grown, max_leaves=8)
    return st.tuples(FLAGS, grown_patterns).map("".join)


PATTERNS = st.lists(_patterns(), min_size=1, max_size=8)
TEXTS = st.text(LETTERS + "xz", max_size=12)


@given(PATTERNS, TEXTS)
def test_a_filter_rules_out_no_expression_that_matches(patterns: list[str], text: str) -> None:
    possible = ExpressionFilter(patterns).possible(text.encode())
    assert possible is not None
    assert possible >= {at for at, one in enumerate(patterns) if expression(at, one, stored=True).occurs(text)}


def test_a_filter_knows_what_differs_by_case_alone() -> None:
    letters = [one for one in map(chr, range(1, 0x110000)) if one.swapcase() != one or one.casefold() != one]
    for begin in range(0, len(letters), 200):
        part = [re2.escape(one) for one in letters[begin : begin + 200]]
        asked = ExpressionFilter([f"xq{one}zw" for one in part])
        for at, one in enumerate(letters[begin : begin + 200]):
            alone = expression(0, f"xq{part[at]}zw")
            for other in {one, one.lower(), one.upper(), one.title(), one.casefold()}:
                text = f"xq{other}zw"
                possible = asked.possible(text.encode())
                assert possible is not None
                assert at in possible or not alone.occurs(text)


def _many(patterns: list[str]) -> list[Expression]:
    """So many that they are filtered, with these among them."""
    rest = [rf"\bfiller{at}\s*(?:one|two|three)\d+" for at in range(600)]
    return [expression(rank, one) for rank, one in enumerate((*rest[:300], *patterns, *rest[300:]))]


FOUND = ["needle", r"\d{3}-\d{2}", r"^\W*$", "(?-i:CASE)", "ne{2}dles?", "[^a-z0-9 ]{3}", r"\bk\b", "s+t"]
ALL = _many(FOUND)
SOME = Expressions(ALL)


@given(st.lists(st.sampled_from(["Needles", "123-45", "filler7 two8", "CASE", "case", "???", "\u212a", " ", "ſt"])))
def test_expressions_that_are_filtered_say_what_each_says_alone(words: list[str]) -> None:
    text = " ".join(words)
    found = {one.rank for part in SOME.passes(text) for one in part}
    assert found == {one.rank for one in ALL if one.occurs(text)}


def test_where_memory_does_not_suffice_nothing_is_ruled_out() -> None:
    rng = random.Random(1)
    too_much = ExpressionFilter(["".join(rng.choices("abcdefghij", k=2_000)) for _ in range(50)])
    assert too_much.possible(b"anything") is None


def test_a_filter_that_was_not_read_to_its_end_is_not_asked_again() -> None:
    asked = ExpressionFilter(["one", "two"])
    assert asked.possible(b"one") == {0}
    asked._mark = -1  # as if RE2 had given up: it then finds nothing, not even what stands behind each text
    assert asked.possible(b"one") is None
    assert asked.possible(b"one") is None


@pytest.mark.parametrize("text", ["a\x01read to its end\x02one", "\x01read to its end\x02"])
def test_what_stands_behind_each_text_may_stand_in_it(text: str) -> None:
    assert ExpressionFilter(["one", "two"]).possible(text.encode()) == ({0} if "one" in text else set())


WORDS = [*(f"filler{at}" for at in range(MIN_LITERALS)), "hack", "школа", "crème", "日本", "a.b*c", "ein Wort"]
MANY, FEW = (Literals(Literal(at, one) for at, one in enumerate(words)) for words in (WORDS, WORDS[MIN_LITERALS:]))


@given(st.lists(st.sampled_from([*WORDS[-8:], "hаck", "HACK", "Creme", "a.b", "axbxc", "日", "本", " ", "\ud800"])))
def test_many_literals_say_what_few_of_them_say(words: list[str]) -> None:
    form = canonical(" ".join(words))
    many, few = ({found[2] for found in one.spans(form) if found} for one in (MANY, FEW))
    assert {WORDS[rank] for rank in many if rank >= MIN_LITERALS} == {WORDS[MIN_LITERALS + rank] for rank in few}
    ranks = list(MANY.ranks(form))
    assert ranks[-1] == min(many, default=None)


def test_a_literal_filter_rules_out_only_what_stands_nowhere() -> None:
    filtered = LiteralFilter(WORDS)
    assert filtered.rules_out("a question", "eine Frage")
    assert not filtered.rules_out("a question", "ein Wort")
    assert not filtered.rules_out("hack")
    assert filtered.rules_out("ha", "ck")
    assert not LiteralFilter(["few"]).rules_out("none of it"), "nobody knows"
    assert not LiteralFilter([*WORDS, "\ud800"]).rules_out("none of it"), "nobody knows"
