"""Rules as a whole: what cannot be used, what is redacted, which stage a rule speaks at, and time that stays linear."""

from __future__ import annotations

import time

import pytest

from guard.canonical import canonical
from guard.compiled import MAX_NESTED, MAX_REDACTING, compile_rules
from guard.expressions import MAX_WIDTH, Expressions, expression, greatest_width
from guard.rules import Action, PatternType, Rule, Stage, TextTooLongError, UnusableRulesError
from guard.stream import guarded


def rule(kind: str, pattern: str, stage: str = "input", action: str = "refuse") -> Rule:
    return Rule(f"{kind}:{len(pattern)}", "why", PatternType(kind), pattern, Stage(stage), Action(action))


@pytest.mark.parametrize(
    ("unusable", "reason"),
    [
        (rule("contains", ""), "the pattern is empty"),
        (rule("word", " \u200b\ufeff\u0301 "), "nothing of it can be seen"),
        (rule("regex", ""), "the pattern is empty"),
        (rule("contains", "a\0b"), "contains a NUL"),
        (rule("regex", "a\0b"), "contains a NUL"),
        (rule("contains", "x" * 10_000), "longer than 2000 characters"),
        (rule("regex", "x" * 10_000), "longer than 2000 characters"),
        (rule("regex", r"(a)\1"), "not a valid RE2 expression"),
        (rule("regex", "(?<=a)b"), "not a valid RE2 expression"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place_and_the_reason(unusable: Rule, reason: str) -> None:
    with pytest.raises(UnusableRulesError) as caught:
        compile_rules([rule("contains", "fine"), unusable])
    ((place, told),) = caught.value.faults
    assert place == 1
    assert reason in told


def test_what_an_earlier_release_accepted_goes_on() -> None:
    stored = [rule("contains", "\u200b"), rule("contains", "hack"), rule("regex", "[a-q].{900}z")]
    guard = compile_rules(stored, stored=True).input
    assert guard.judge("a \u200bsmall question") is None
    assert guard.judge("hack")


@pytest.mark.parametrize("pattern", ["(a+)+b", "((a*)*)*b", "(a|a|a?)*b", "(.*)*b", "((a{1,30}){1,9}){1,3}b"])
def test_nested_quantifiers_take_linear_time(pattern: str) -> None:
    compiled = compile_rules([rule("regex", pattern, "both")])
    began = time.process_time()
    assert compiled.input.judge("a" * 30_000) is None
    assert guarded(compiled.output, "a" * 5_000)[1] is None
    assert time.process_time() - began < 3


def test_ten_thousand_rules_are_compiled_and_asked_in_no_time() -> None:
    rules = [rule("word" if at % 2 else "contains", f"forbidden phrase {at}x", "both") for at in range(10_000)]
    began = time.process_time()
    compiled = compile_rules(rules)
    assert time.process_time() - began < 3
    assert compiled.input.judge("here is forbidden phrase 4711x.")
    assert guarded(compiled.output, "here is forbidden phrase 4711x.")[1]
    assert compiled.input.judge("here is a permitted phrase " * 50) is None


def test_a_thousand_literals_inside_each_other_are_long_work() -> None:
    nested = compile_rules([rule("contains", "a" * length) for length in range(1_400, 400, -1)], stored=True).input
    plain = compile_rules([rule("contains", f"{at}a") for at in range(1_000)]).input
    assert nested.work("x" * 100) > 100 * plain.work("x" * 100)


def test_a_rule_speaks_at_its_stage_alone() -> None:
    compiled = compile_rules([rule("word", "one"), rule("word", "two", "output"), rule("word", "three", "both")])
    said = {word: (compiled.input.judge(word), guarded(compiled.output, word)[1]) for word in ("one", "two", "three")}
    stages = {word: [one.stage for one in found if one] for word, found in said.items()}
    assert stages == {"one": [Stage.INPUT], "two": [Stage.OUTPUT], "three": [Stage.INPUT, Stage.OUTPUT]}


@pytest.mark.parametrize(
    ("rules", "text", "left"),
    [
        ([rule("contains", "tomato", action="redact")], "To\u200bMATO and tomatoes", "[REDACTED] and [REDACTED]es"),
        ([rule("word", "cat", action="redact")], "cat cats ca\u0301t", "[REDACTED] cats [REDACTED]"),
        ([rule("regex", r"\d{4}", action="redact")], "12345 \uff11\uff12\uff13\uff14", "[REDACTED]5 [REDACTED]"),
        ([rule("word", "cop", action="redact")], "the \u0441\u043e\u0440 came", "the [REDACTED] came"),
        (
            [rule("contains", "abc", action="redact"), rule("contains", "cde", action="redact")],
            "xabcdex abc",
            "x[REDACTED]x [REDACTED]",
        ),
        ([rule("contains", "tomato")], "tomato", "tomato"),
    ],
)
def test_what_is_redacted_in_a_prompt_is_replaced_in_the_original(rules: list[Rule], text: str, left: str) -> None:
    guard = compile_rules(rules).input
    assert guard.redacted(text) == left
    assert (guard.judge(text) is None) == (left != text)


def test_so_many_literals_end_in_one_another_and_no_more() -> None:
    nested = [rule("contains", "b" * (length % 7) + "a" * length) for length in range(1, MAX_NESTED + 2)]
    chain = [rule("contains", "a" * length) for length in range(MAX_NESTED + 1, 0, -1)]
    compile_rules(nested)
    compile_rules(chain[1:])
    with pytest.raises(UnusableRulesError, match="end in one another"):
        compile_rules(chain)
    compile_rules(chain, stored=True)


def test_so_many_expressions_redact_and_no_more() -> None:
    rules = [Rule(str(at), "r", PatternType.REGEX, f"x{at}", action=Action.REDACT) for at in range(MAX_REDACTING + 1)]
    compile_rules(rules[1:])
    with pytest.raises(UnusableRulesError, match="redact") as refused:
        compile_rules(rules)
    assert refused.value.faults[0][0] == MAX_REDACTING


def test_a_text_that_is_written_out_beyond_measure_is_not_judged() -> None:
    with pytest.raises(TextTooLongError):
        compile_rules([rule("contains", "x")]).input.judge("\ufdfa" * 32_768)


@pytest.mark.parametrize(
    ("pattern", "width"),
    [
        (r"\b\d{3}-\d{2}-\d{4}\b", 11),
        ("a|bcd", 3),
        ("a{2,}", MAX_WIDTH),
        ("a{,3}", MAX_WIDTH),  # six characters to RE2, up to three to Python
        (r"\pL{3}", MAX_WIDTH),
        (r"\Qa.b\E", MAX_WIDTH),
        ("[[:alpha:]]{4}", MAX_WIDTH),
        (r"x.{500}", MAX_WIDTH),
    ],
)
def test_the_greatest_width_of_an_expression_is_known_or_taken_to_be_the_greatest(pattern: str, width: int) -> None:
    assert greatest_width(pattern) == width


def test_what_differs_by_case_alone_is_the_same_letter_to_an_expression() -> None:
    """So a text in which nothing else differs from its plain form is asked once."""
    letters = [one for one in map(chr, range(0x110000)) if one.lower() != one and canonical(one).plain == one.lower()]
    assert len(letters) > 1_000
    for one in letters:
        assert expression(0, one).occurs(one.lower())
        assert expression(0, one.lower()).occurs(one)
        assert expression(0, f"[^{one.lower()}]").occurs(one) is False


@pytest.mark.parametrize("pattern", [r"\p{Lu}\p{Lu}", r"[\p{Lu}]{2}", "[\u0410-\u042f]{2}", r"\PN\p{Ll}"])
def test_a_class_of_capitals_has_their_small_letters_too(pattern: str) -> None:
    asked = Expressions([expression(0, pattern)])
    form = canonical("\u0414\u0430")  # two letters of Russian, one of them a capital
    assert asked.forms(form) == [form.plain]
    assert [list(found) for found in asked.passes(form.plain)] == [list(found) for found in asked.passes(form.text)]


@pytest.mark.parametrize(("pattern", "text"), [("(?-i:\u0414)", "\u0414\u0430"), ("a", "\u212a"), ("a", "\uff21")])
def test_a_text_in_which_an_expression_may_see_more_is_asked_as_it_is_written_too(pattern: str, text: str) -> None:
    form = canonical(text)
    assert Expressions([expression(0, pattern)]).forms(form) == [form.plain, text]
