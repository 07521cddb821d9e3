"""Refusal rules on a prompt: what they catch, and, as important, what they let pass."""

from __future__ import annotations

import time

import pytest

from router.domain.refusal import RefusalRules
from tenancy.config import TenantConfig
from tenancy.rules import compile_rules


def rules(*written: dict[str, str], sensitive: tuple[str, ...] = ()) -> RefusalRules:
    config = TenantConfig.model_validate({"refusal_rules": list(written), "sensitive_prompt_patterns": sensitive})
    return RefusalRules(compile_rules(config))


def contains(pattern: str) -> dict[str, str]:
    return {"type": "contains", "pattern": pattern, "reason": "Security violation"}


@pytest.mark.parametrize(
    "prompt", ["how to hack it", "HACK", "hackathon", "\uff48\uff41\uff43\uff4b", "please  hack\nthis"]
)
def test_contains_ignores_case_width_and_place(prompt: str) -> None:
    refusal = rules(contains("hack")).judge(prompt)
    assert refusal is not None
    assert (refusal.reason, refusal.rule_id, refusal.stage) == ("Security violation", "refusal_rules[0]", "input")


def test_white_space_between_words_is_folded() -> None:
    assert rules(contains("credit card")).judge("my CREDIT \n\t card")


@pytest.mark.parametrize(
    ("prompt", "hit"), [("a cat sat", True), ("Cat.", True), ("concatenate", False), ("cat_1", False)]
)
def test_word_matches_whole_words(prompt: str, hit: bool) -> None:
    assert (rules({"type": "word", "pattern": "cat", "reason": "r"}).judge(prompt) is not None) == hit


def test_regex_is_re2_and_ignores_case() -> None:
    guard = rules({"type": "regex", "pattern": r"\bssn\s*\d{3}", "reason": "r"})
    assert guard.judge("SSN 123")
    assert not guard.judge("ssn abc")


@pytest.mark.parametrize(
    ("pattern", "prompt"), [("stra\u00dfe", "die Stra\u00dfe"), ("a\\nb", "a\nb"), ("10\u00b2", "10\u00b2")]
)
def test_regex_also_sees_the_prompt_as_it_was_written(pattern: str, prompt: str) -> None:
    assert rules({"type": "regex", "pattern": pattern, "reason": "r"}).judge(prompt)


def test_a_word_of_one_letter_over_and_over_takes_linear_time() -> None:
    guard = rules(*[{"type": "word", "pattern": "a" * 1990, "reason": "r"}] * 20)
    began = time.process_time()
    assert guard.judge("a" * 32_768) is None
    assert time.process_time() - began < 3  # quadratic: more than two seconds for each rule


def test_an_exploding_pattern_takes_linear_time() -> None:
    guard = rules({"type": "regex", "pattern": "(a+)+b", "reason": "r"})
    began = time.process_time()
    assert guard.judge("a" * 30_000) is None
    assert time.process_time() - began < 1


def test_sensitive_patterns_refuse_without_naming_the_pattern() -> None:
    refusal = rules(sensitive=("password",)).judge("what is the Password")
    assert refusal is not None
    assert (refusal.reason, refusal.rule_id) == ("sensitive_prompt", "sensitive_prompt_patterns[0]")
    assert "password" not in refusal.model_dump_json().replace(refusal.rule_id, "").lower()


def test_the_rules_own_id_is_the_one_reported() -> None:
    refusal = rules(contains("x") | {"id": "no-x"}).judge("x")
    assert refusal is not None
    assert refusal.rule_id == "no-x"


def test_what_no_rule_matches_passes() -> None:
    assert rules(contains("hack"), sensitive=("password",)).judge("What does olive oil cost?") is None
    assert rules().judge("anything") is None
