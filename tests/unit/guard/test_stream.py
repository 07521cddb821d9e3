"""A stream before the rules: it does not matter where it is cut, and nothing of what is refused leaves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.answers import OutputRules
from guard.canonical import canonical, literal
from guard.compiled import compile_rules
from guard.literals import is_match
from guard.replacing import Redactor
from guard.rules import Action, PatternType, Rule, Stage, Verdict
from guard.stream import StreamGuard, guarded


def rule(pattern: str, kind: str = "contains", action: str = "refuse", rule_id: str = "") -> Rule:
    return Rule(rule_id or pattern, "why", PatternType(kind), pattern, Stage.OUTPUT, Action(action))


def output(*rules: Rule) -> OutputRules:
    return compile_rules(rules).output


def streamed(rules: OutputRules, chunks: Sequence[str], redactor: Redactor | None = None) -> tuple[str, Verdict | None]:
    guard = StreamGuard(rules, redactor)
    left = "".join(map(guard.feed, chunks))
    return left + guard.finish(), guard.verdict


def cut(text: str, places: Sequence[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[first:last] for first, last in pairwise(ends)]


@dataclass(frozen=True)
class Digits:
    """Redacts what is three to five digits, by looking one character behind and five ahead."""

    look_behind: int = 6

    def spans(self, text: str) -> Sequence[_Found]:
        return [_Found(*one.span()) for one in re.finditer(r"(?<![0-9])[0-9]{3,5}(?![0-9])", text)]

    def settled(self, text: str) -> int:
        return max(0, len(text) - 6)


@dataclass(frozen=True)
class _Found:
    start: int
    end: int
    placeholder: str = "[DIGITS]"


PIECES = (
    *("a", "b", "ab", "A", "p", "pa", "pass", "word", "s", " ", "  ", "\n", ".", "_", "1", "12", "345", "-"),
    *("а", "с", "о", "р", "сор", "ж", "мир", "é", "e", "\u0301", "\u0336", "\u200b", "\u00ad", "ß", "ﬁ", "İ", "ı"),
    *(
        "ş",
        "ο",
        "ν",
        "Ν",
        "한",
        "ㅎ",
        "\u1112",
        "\u1161",
        "\u11ab",
        "™",
        "…",
        "\ufdfa",
        "👍",
        "\ufe0f",
        "x" * 40,
        "日本",
    ),
)
texts = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)
literals = st.builds(
    rule,
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join).filter(lambda one: one.isprintable()),
    st.sampled_from(["contains", "word"]),
    st.sampled_from(["refuse", "redact"]),
).filter(lambda one: literal(one.pattern).plain != "")
EXPRESSIONS = (
    "pa.{0,9}rd",
    r"\bcop\b",
    "^a",
    "b$",
    r"\d{3}",
    "(?-i)AB",
    "a+b",
    "мир",
    r"s\s+p",
    "x{30}",
    "é",
    "p(a|s)+w?",
)
expressions = st.builds(rule, st.sampled_from(EXPRESSIONS), st.just("regex"), st.sampled_from(["refuse", "redact"]))


@settings(max_examples=300, deadline=None)
@given(st.lists(literals, max_size=5), texts, st.lists(st.integers(0, 400), max_size=30))
def test_with_literals_a_stream_says_what_is_said_of_the_whole(rules: list[Rule], text: str, places: list[int]) -> None:
    _same(output(*rules), text, places, None)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(literals, expressions), max_size=5),
    st.lists(texts, max_size=12).map("".join),
    st.lists(st.integers(0, 2_000), max_size=60),
    st.booleans(),
)
def test_with_all_kinds_of_rules_a_stream_says_what_is_said_of_the_whole(
    rules: list[Rule], text: str, places: list[int], digits: bool
) -> None:
    _same(output(*rules), text, places, Digits() if digits else None)


def _same(rules: OutputRules, text: str, places: list[int], redactor: Redactor | None) -> None:
    whole, verdict = guarded(rules, text, redactor)
    for chunks in (cut(text, places), list(text)):
        left, said = streamed(rules, chunks, redactor)
        assert said == verdict
        if verdict is None:
            assert left == whole
        else:
            assert left.startswith(whole) or whole.startswith(left)  # the smaller the pieces, the more had left
    if verdict is None and not any(one.action is Action.REDACT for one in rules.rules) and redactor is None:
        assert whole == text


@settings(max_examples=300, deadline=None)
@given(st.lists(literals.filter(lambda one: one.action is Action.REFUSE), min_size=1, max_size=5), texts, texts)
def test_nothing_of_a_refused_passage_leaves(rules: list[Rule], before: str, after: str) -> None:
    """Whatever rule is named: of all that any rule refuses, not a character has left."""
    compiled = output(*rules)
    text = before + after
    form = canonical(text)
    whole = form
    found = [one for one, alike in compiled.literals.candidates(whole) if is_match(whole, one, is_alike=alike)]
    left, verdict = streamed(compiled, list(text))
    assert (verdict is not None) == bool(found)
    assert text.startswith(left)
    if found:
        assert len(left) <= min(form.span(one.start, one.end)[0] for one in found)


@pytest.mark.parametrize(
    ("rules", "passage"),
    [
        ([rule("password")], "PassWord"),
        ([rule("password", "word")], "p\u200ba\u0301ssw\u043erd"),
        ([rule("credit card")], "credit \n\t card"),
        ([rule(r"secret-\d{4}", "regex")], "secret-1234"),
        ([rule("пароль")], "ПАРОЛЬ"),
        ([rule("日本語")], "日本語"),
    ],
)
@pytest.mark.parametrize("before", ["The ", "", "Ответ: вот он, ", "x" * 333 + " "])
@pytest.mark.parametrize("after", [" is this.", "", " " + "y" * 400])
def test_every_boundary_of_a_refused_passage(rules: list[Rule], passage: str, before: str, after: str) -> None:
    compiled = output(*rules)
    text = before + passage + after
    for first in range(len(before), len(before) + len(passage) + 1):
        for last in (first, len(text)):
            left, verdict = streamed(compiled, cut(text, [first, last]))
            assert verdict == Verdict(rules[0].rule_id, "why", Stage.OUTPUT)
            assert before.startswith(left)
    left, verdict = streamed(compiled, list(text))
    assert verdict
    assert before.startswith(left)


def test_a_token_that_begins_no_pattern_leaves_at_once() -> None:
    guard = StreamGuard(output(rule("password"), rule("credit card", "word")))
    for token in ("Olive", " oil", " is", " good", " for", " you", ",", " ÿèś", ".", " Ниже", "\n\n", " 日本"):
        assert guard.feed(token) == token
    assert guard.finish() == ""


def test_only_what_may_become_a_match_is_held_back() -> None:
    guard = StreamGuard(output(rule("password"), rule("swim")))
    assert guard.feed("my pass") == "my "
    assert guard.feed("age") == "passage"
    assert guard.feed("pas") == ""
    assert guard.feed("sw") == ""
    assert guard.feed("i") == "pas"
    assert guard.feed("n") == "swin"


def test_a_complete_word_waits_for_what_follows_it() -> None:
    guard = StreamGuard(output(rule("pass", "word")))
    assert guard.feed("a pass") == "a "
    assert guard.feed("age") == "passage"
    assert guard.feed(" pass") == " "
    assert guard.verdict is None
    assert guard.feed(".") == ""
    assert guard.verdict


def test_a_letter_waits_for_its_accent_only_where_a_rule_has_it() -> None:
    guard = StreamGuard(output(rule("école")))
    assert guard.feed("lie") == "li"
    assert guard.feed("\u0301cole") == ""
    assert guard.finish() == ""
    assert guard.verdict


@pytest.mark.parametrize(
    ("text", "verdict"), [("Он вывез сор из избы вчера вечером и лёг", False), ("a сор stood", True)]
)
def test_look_alikes_are_judged_by_the_text_around_them(text: str, verdict: bool) -> None:
    left, said = streamed(output(rule("cop")), list(text))
    assert bool(said) == verdict
    assert left == ("a " if verdict else text)


def test_the_ends_of_a_window_are_no_ends_of_the_text() -> None:
    rules = output(rule("^x", "regex"), rule("x$", "regex"), rule(r"\bx", "regex"), rule(r"\Bend\b", "regex"))
    text = "y" + "x" * 2_000 + "y"
    assert streamed(rules, list(text)) == (text, None)
    assert streamed(rules, list(text + "end"))[1] == Verdict(r"\Bend\b", "why", Stage.OUTPUT)


def test_an_expression_sees_what_is_not_wider_than_its_window_wherever_it_stands() -> None:
    rules = output(rule("begin.{0,400}end", "regex"))
    assert rules.width == 256
    for before in range(0, 700, 7):
        text = "z" * before + "begin" + "z" * (256 - 8) + "end" + "z" * 300
        left, verdict = streamed(rules, cut(text, range(0, len(text), 11)))
        assert verdict
        assert len(left) <= before
    assert streamed(rules, ["begin" + "z" * 390 + "end"])[1] is None


def test_what_is_redacted_is_replaced_and_nothing_of_it_leaves() -> None:
    rules = output(rule("tomato", action="redact"), rule(r"\bkey-\d+", "regex", "redact"))
    for size in (1, 2, 3, 7, 50):
        text = "A tomato, a TOMATO, tom and key-4711 or key."
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        assert streamed(rules, chunks) == ("A [REDACTED], a [REDACTED], tom and [REDACTED] or key.", None)


def test_a_redactor_is_asked_as_the_text_comes() -> None:
    text = "call 12345 or 12, never 123456; 999"
    for size in (1, 3, 40):
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        left, verdict = streamed(output(), chunks, Digits())
        assert (left, verdict) == ("call [DIGITS] or 12, never 123456; [DIGITS]", None)


def test_an_endless_answer_needs_no_more_memory() -> None:
    guard = StreamGuard(output(rule("password"), rule("a{20}b", "regex")), Digits())
    for _ in range(2_000):
        guard.feed("Ещё text, 1234 and so on ")
    assert len(guard._text) < 2_000
    assert len(guard._spans) < 50
