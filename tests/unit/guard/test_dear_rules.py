"""Rules that are dear are asked a piece of the work at a time, and never grow in memory with what they match."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from guard.compiled import CompiledGuards, compile_rules
from guard.redaction import Redactor
from guard.rules import Action, PatternType, Rule, Stage
from guard.stream import StreamGuard

PIECES = 40
A_PIECE_S = 1.0
"""Generous: on an idle machine it is a twentieth."""


def compiled(patterns: list[str], type_: str = "contains", *, action: Action) -> CompiledGuards:
    return compile_rules(
        [Rule(f"r{at}", "no", PatternType(type_), one, Stage.BOTH, action) for at, one in enumerate(patterns)],
        stored=True,  # as an earlier release accepted them
    )


def longest_piece(steps: Iterator[object]) -> float:
    longest = 0.0
    while True:
        began = time.thread_time()
        try:
            next(steps)
        except StopIteration:
            return longest
        longest = max(longest, time.thread_time() - began)


NESTED = ["a" * length for length in range(1_300, 10, -1)]
MATCH_ALL = [f"[a-z ]{{{at % 20 + 1}}}|q{at}" for at in range(600)]


@pytest.mark.parametrize("type_", ["contains", "word"])
@pytest.mark.parametrize("text", ["a" * 8_000, "\u0430" * 8_000])
def test_literals_inside_each_other_are_looked_for_in_pieces(type_: str, text: str) -> None:
    refused = compiled(NESTED, type_, action=Action.REFUSE).input
    assert longest_piece(islice(refused.steps(text), PIECES)) < A_PIECE_S
    redacted = compiled(NESTED, type_, action=Action.REDACT).input
    assert longest_piece(islice(redacted.redacting(text), PIECES)) < A_PIECE_S


def test_expressions_that_match_everywhere_are_replaced_in_pieces() -> None:
    redacted = compiled(MATCH_ALL, "regex", action=Action.REDACT).input
    assert longest_piece(islice(redacted.redacting("lorem ipsum " * 700), PIECES)) < A_PIECE_S
    assert redacted.redacted("lorem IPSUM 4711") == "[REDACTED]4711"


@pytest.mark.parametrize(
    "made", [lambda: compiled(NESTED, action=Action.REDACT), lambda: compiled(MATCH_ALL, "regex", action=Action.REDACT)]
)
def test_redacting_with_dear_rules_is_long_work(made: Callable[[], CompiledGuards]) -> None:
    assert made().input.redacting_work("x" * 400) > 1_000_000
    assert compiled(["falcon", "eagle"], action=Action.REDACT).input.redacting_work("x" * 400) < 1_000_000


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (["a" * 1_999 + "z"], "a" * 3_000),
        (["\u0436\u0449" * 990 + "z"], "\u0436\u0449" * 1_000),
        (["ab " * 600 + "z"], "\u0430b " * 1_000),
    ],
)
def test_a_literal_that_a_text_repeats_for_pages_costs_no_token_the_pages(rules: list[str], text: str) -> None:
    short = compiled([one[:20] for one in rules], action=Action.REFUSE).output
    began = time.thread_time()
    streamed(StreamGuard(short), text)
    at_best = time.thread_time() - began
    began = time.thread_time()
    streamed(StreamGuard(compiled(rules, action=Action.REFUSE).output), text)
    assert time.thread_time() - began < 50 * at_best + 0.5


def test_what_is_replaced_within_what_is_replaced_is_not_remembered() -> None:
    guard = StreamGuard(compiled(NESTED[-300:], action=Action.REDACT).output)
    streamed(guard, "a" * 200)
    assert len(guard._spans) <= 300


def streamed(guard: StreamGuard, text: str) -> None:
    for at in range(0, len(text), 5):
        guard.feed(text[at : at + 5])


def test_the_work_of_a_token_is_that_of_reading_all_that_is_held() -> None:
    dear = StreamGuard(compiled(NESTED, action=Action.REDACT).output)
    assert dear.work("a") > 100_000
    assert StreamGuard(compiled(["falcon"], action=Action.REFUSE).output).work("falcon ") < 10_000
    phones = StreamGuard(compiled(["falcon"], action=Action.REFUSE).output, Redactor(["phone"], "US"))
    assert phones.work("call me, please, at any time") < 100_000
    assert phones.work("202-555-0123 202-555-0123 202-555-0123") > 1_000_000


@pytest.mark.parametrize("word", ["falcon", "\u0441\u043e\u043a\u043e\u043b"])
def test_a_literal_is_found_wherever_it_stands_in_a_long_text(word: str) -> None:
    """A long text is looked through in parts."""
    guards = compile_rules([Rule("r", "no", PatternType.WORD, word, Stage.BOTH)]).input
    for before in (*range(4_090, 4_100), *range(2_044, 2_052), 8_190, 30_000):
        assert guards.judge(f"{'a' * (before - 1)} {word} {'b' * 5_000}") is not None
        assert guards.judge(f"{'a' * (before - 1)} {word}s {'b' * 5_000}") is None
