"""What a config's author is warned of, and, beside each, its benign twin that must pass in silence."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tenancy.config import TenantConfig
from tenancy.warnings import ConfigWarning, warnings


def found(**config: Any) -> list[ConfigWarning]:
    return warnings(TenantConfig.model_validate(config))


def paths(**config: Any) -> list[str]:
    return [warning.path for warning in found(**config)]


def rule(kind: str, pattern: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "pattern": pattern, "reason": "r", **fields}


def test_an_ordinary_config_has_none() -> None:
    assert found() == []
    assert found(
        blocked_tools=["mcp_finance"],
        sensitive_prompt_patterns=["password", "credit card"],
        refusal_rules=[rule("contains", "hack", id="no-hack"), rule("word", "bomb"), rule("regex", r"\bssn\b")],
        rate_limit_per_minute=60,
        rate_limit_per_hour=1000,
        allowed_routes=["PRICE_COMPARE", "DIET_NUTRITION"],
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("earlier", "later", "warned"),
    [
        (rule("contains", "hack"), rule("contains", "hackathon"), True),
        (rule("contains", "hackathon"), rule("contains", "hack"), False),
        (rule("contains", "hack"), rule("contains", "hack"), True),
        (rule("contains", "Stra\u00dfe"), rule("contains", "STRASSE  frei"), True),
        (rule("contains", "cat"), rule("word", "cat"), True),
        (rule("contains", "cat"), rule("word", "dog"), False),
        (rule("word", "cat"), rule("contains", "cat"), False),
        (rule("word", "Cat"), rule("word", "cat"), True),
        (rule("word", "cat"), rule("word", "cats"), False),
        (rule("regex", r"c.t"), rule("regex", r"c.t"), True),
        (rule("regex", r"c.t"), rule("regex", r"C.T"), False),
        (rule("regex", "cat"), rule("contains", "cat"), False),
        (rule("contains", "cat"), rule("regex", "cat"), False),
        (rule("word", "c.t"), rule("regex", "c.t"), False),
    ],
)
def test_a_rule_is_unreachable_where_an_earlier_one_always_matches(
    earlier: dict[str, Any], later: dict[str, Any], warned: bool
) -> None:
    assert paths(refusal_rules=[earlier, later]) == (["refusal_rules[1]"] if warned else [])


def test_sensitive_patterns_are_judged_first_wherever_they_stand() -> None:
    (warning,) = found(
        refusal_rules=[rule("contains", "pass"), rule("word", "my password")],
        sensitive_prompt_patterns=["password", "passport", "word"],
    )
    assert warning == ConfigWarning(
        "refusal_rules[1]",
        "never the rule that is reported: sensitive_prompt_patterns[0] matches whatever it matches",
    )
    assert paths(sensitive_prompt_patterns=["pass", "password"]) == ["sensitive_prompt_patterns[1]"]


def test_of_a_chain_each_is_told_which_reachable_rule_comes_first() -> None:
    told = found(refusal_rules=[rule("contains", "a"), rule("contains", "ab"), rule("word", "abc")])
    assert [(warning.path, "refusal_rules[0] matches" in warning.reason) for warning in told] == [
        ("refusal_rules[1]", True), ("refusal_rules[2]", True),
    ]  # fmt: skip


def test_no_reason_names_a_pattern() -> None:
    told = found(refusal_rules=[rule("contains", "s3cret", id="x"), rule("contains", "s3cret!", id="x")])
    assert len(told) == 2
    assert "s3cret" not in repr(told)


@pytest.mark.parametrize(
    ("ids", "warned"),
    [
        (("a", "a", "a"), ["refusal_rules[1]", "refusal_rules[2]"]),
        (("a", "b", None), []),
        ((None, None, None), []),
        (("refusal_rules[1]", None, None), ["refusal_rules[0]"]),
        (("sensitive_prompt_patterns[0]", None, None), ["refusal_rules[0]"]),
        (("refusal_rules[0]", "refusal_rules[1]", None), []),
        (("refusal_rules", "refusal_rules[x]", "my-refusal_rules[1]"), []),
    ],
)
def test_ids_must_tell_rules_apart(ids: tuple[str | None, ...], warned: list[str]) -> None:
    rules = [rule("word", f"w{number}", id=one) for number, one in enumerate(ids)]
    assert paths(refusal_rules=rules) == warned


@pytest.mark.parametrize(
    ("tools", "blocked", "warned"),
    [
        (["a"], ["a"], True),
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["b"], True),  # one is enough: the route is refused as soon as one of its tools is blocked
        (["a"], ["b"], False),
        ([], ["a"], False),
    ],
)
def test_an_allowed_route_must_have_its_tools(tools: list[str], blocked: list[str], warned: bool) -> None:
    config = {"routes": [{"name": "FLY", "tools": tools}], "allowed_routes": ["GENERAL", "FLY"]}
    assert paths(**config, blocked_tools=blocked) == (["allowed_routes[1]"] if warned else [])


def test_a_built_in_route_without_its_tool_is_told_unless_it_is_not_allowed() -> None:
    assert paths(blocked_tools=["mcp_catalog"]) == ["allowed_routes[1]"]
    assert paths(blocked_tools=["mcp_catalog"], allowed_routes=["GENERAL"]) == []


def test_a_route_that_is_defined_should_be_allowed() -> None:
    routes = [{"name": "FLY"}, {"name": "SAIL"}]
    assert paths(routes=routes, allowed_routes=["FLY", "GENERAL"]) == ["routes[1]"]
    assert paths(routes=routes, allowed_routes=["FLY", "SAIL"]) == []


@pytest.mark.parametrize(("per_hour", "warned"), [(59, ["rate_limit_per_hour"]), (60, []), (1000, [])])
def test_an_hour_should_hold_a_minute(per_hour: int, warned: list[str]) -> None:
    assert paths(rate_limit_per_minute=60, rate_limit_per_hour=per_hour) == warned


def numbered(count: int, letter: str, length: int) -> list[str]:
    """Texts that differ in their last characters alone: the slowest to look for in one another."""
    return [f"{'ab' * (length // 2)}{letter}{number:04}" for number in range(count)]


@pytest.mark.parametrize("lengths", [(10, 12), (600, 900)])
def test_the_largest_config_takes_less_than_half_a_second(lengths: tuple[int, int]) -> None:
    patterns = numbered(1000, "x", lengths[0])
    rules = [rule("word", text) for text in numbered(1000, "y", lengths[1])]
    config = TenantConfig.model_validate({"sensitive_prompt_patterns": patterns, "refusal_rules": rules})
    began = time.process_time()
    assert warnings(config) == []
    assert time.process_time() - began < 0.5 * 4  # four times: the machine is not ours alone


def test_equal_literals_are_found_however_long_they_are() -> None:
    long = numbered(999, "x", 980)
    told = paths(sensitive_prompt_patterns=[*long, long[0]], refusal_rules=[rule("contains", long[1])])
    assert told == ["sensitive_prompt_patterns[999]", "refusal_rules[0]"]
