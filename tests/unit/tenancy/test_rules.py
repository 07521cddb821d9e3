"""Which patterns a config may have: what cannot be used, or costs everybody too much, is refused by name."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import ValidationError

from guard.compiled import MAX_INSTRUCTIONS, MAX_TOLD
from tenancy.config import TenantConfig
from tenancy.rules import compile_rules

UNICODE = r"[\pL\pN\pM\pS]"
DEAREST = [f"{UNICODE * 20}|q{number}" for number in range(160)]
"""A config of 45 KB: compiled whole, these took 27 s."""


def regexes(*patterns: str) -> TenantConfig:
    rules = [{"type": "regex", "pattern": pattern, "reason": "r"} for pattern in patterns]
    return TenantConfig.model_validate({"refusal_rules": rules})


def faults(config: TenantConfig) -> list[tuple[Any, str]]:
    with pytest.raises(ValidationError) as caught:
        compile_rules(config)
    return [(error["loc"], error["msg"]) for error in caught.value.errors()]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b(?:\d[ -]*?){13,16}\b",
        r"[\pL\pN._-]+@[\pL\pN-]+\.\pL{2,}",
        r"ignore\s+(all\s+)?(previous|prior|above)\s+(instructions|prompts)",
        r"(?:how|ways?) (?:to|of) .{0,200}(?:bomb|weapon)",
        "|".join(f"word{number}" for number in range(220)),
        "x" * 2_000,
    ],
)
def test_what_people_write_is_allowed(pattern: str) -> None:
    assert compile_rules(regexes(pattern)).input


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "not a valid RE2 expression"),
        (r"(a)\1", "not a valid RE2 expression"),
        ("(?=a)", "not a valid RE2 expression"),
        ("((a{500}){500})", "not a valid RE2 expression"),
        ("[a-q].{900}z", "too large: 7"),
        (UNICODE * 5, "too large: 7"),
        (r"\pL{0}" * 300, "names more than 24 Unicode classes"),
    ],
)
def test_an_expression_that_cannot_be_used_is_named_with_the_reason(pattern: str, reason: str) -> None:
    ((place, told),) = faults(regexes("fine", pattern))
    assert place == ("refusal_rules", 1)
    assert told.startswith(f"pattern: {reason}")


def test_the_rule_with_which_a_config_goes_beyond_its_budget_is_named() -> None:
    config = regexes(*["x" * 2_000] * 100)
    ((place, told),) = faults(config)
    assert place == ("refusal_rules", MAX_INSTRUCTIONS // 2_004)
    assert f"more than {MAX_INSTRUCTIONS} instructions" in told
    assert compile_rules(config, stored=True).input  # what was accepted once goes on


def test_literals_cost_nothing_of_the_budget() -> None:
    rules = [{"type": kind, "pattern": "x" * 2_000, "reason": "r"} for kind in ("contains", "word")] * 300
    assert compile_rules(TenantConfig.model_validate({"refusal_rules": rules})).input


def test_of_many_bad_rules_only_the_first_are_looked_at() -> None:
    found = faults(regexes(*["("] * 1_000))
    assert [place[1] for place, _ in found] == list(range(MAX_TOLD))


def test_a_config_of_the_dearest_rules_is_refused_before_much_was_done() -> None:
    config = regexes(*DEAREST)
    began = time.process_time()
    assert faults(config)
    assert time.process_time() - began < 2


def test_the_form_of_a_config_is_checked_without_compiling() -> None:
    began = time.process_time()
    regexes(*DEAREST)
    assert time.process_time() - began < 1
