"""A config that cannot work is refused with the place and the reason; one that can has its defaults."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tenancy.config import TenantConfig

EXAMPLE: dict[str, Any] = {
    "blocked_tools": ["mcp_finance"],
    "sensitive_prompt_patterns": ["password", "credit card"],
    "refusal_rules": [{"type": "contains", "pattern": "hack", "reason": "Security violation"}],
    "rate_limit_per_minute": 60,
    "rate_limit_per_hour": 1000,
    "allowed_routes": ["PRICE_COMPARE", "DIET_NUTRITION"],
}


def test_the_documented_example_is_valid() -> None:
    assert TenantConfig.model_validate(EXAMPLE).allowed_routes == ("PRICE_COMPARE", "DIET_NUTRITION")


def test_everything_has_a_default() -> None:
    config = TenantConfig()
    assert config.rate_limit_per_minute == 60
    assert "GENERAL" in config.allowed_routes


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"surprise": 1}, "surprise"),
        ({"rate_limit_per_minute": -1}, "rate_limit_per_minute"),
        ({"rate_limit_per_hour": 0}, "rate_limit_per_hour"),
        ({"rate_limit_per_minute": 1.5}, "rate_limit_per_minute"),
        ({"refusal_rules": [{"type": "contains", "pattern": "  ", "reason": "r"}]}, "refusal_rules"),
        ({"refusal_rules": [{"type": "contains", "pattern": "", "reason": "r"}]}, "refusal_rules"),
        ({"refusal_rules": [{"type": "contains", "pattern": "a\x00", "reason": "r"}]}, "refusal_rules"),
        ({"refusal_rules": [{"type": "glob", "pattern": "a", "reason": "r"}]}, "refusal_rules"),
        ({"refusal_rules": [{"type": "contains", "pattern": "a"}]}, "refusal_rules"),
        ({"sensitive_prompt_patterns": [""]}, "sensitive_prompt_patterns"),
        ({"sensitive_prompt_patterns": ["\x1c"]}, "sensitive_prompt_patterns"),
        ({"sensitive_prompt_patterns": [" \u2003 "]}, "sensitive_prompt_patterns"),
        ({"allowed_routes": ["NOWHERE"]}, ""),
        ({"allowed_routes": ["lower"]}, "allowed_routes"),
        ({"blocked_tools": ["a b"]}, "blocked_tools"),
        ({"moderation": {"stages": ["route"]}}, "moderation.stages"),
        ({"moderation": {"stages": "input"}}, "moderation.stages"),
        ({"moderation": {"on_failure": "ignore"}}, "moderation.on_failure"),
        ({"moderation": {"surprise": 1}}, "moderation.surprise"),
        ({"moderation": None}, "moderation"),
        ({"routes": [{"name": "A"}, {"name": "A"}]}, ""),
        ({"redact": {"input": ["shoe_size"]}}, "redact.input"),
        ({"redact": {"input": "email"}}, "redact.input"),
        ({"redact": ["email"]}, "redact"),
        ({"redact": {"log": ["email"]}}, "redact.log"),
        ({"redact": {"input": ["email"] * 100}}, "redact.input"),
        ({"passage_injection": "obey"}, "passage_injection"),
        ({"strip_passage_links": "perhaps"}, "strip_passage_links"),
        ({"completions_retrieve": "perhaps"}, "completions_retrieve"),
        ({"routes": [{"name": "A", "surprise": 1}]}, "routes"),
    ],
)
def test_what_cannot_work_is_refused_and_named(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TenantConfig.model_validate(EXAMPLE | change)
    assert ".".join(str(part) for part in caught.value.errors()[0]["loc"]).startswith(place)


def test_a_kind_that_is_named_twice_counts_once() -> None:
    config = TenantConfig.model_validate({"redact": {"output": ["email", "ip", "email"]}})
    assert config.redact.output == ("email", "ip")
    assert config.redact.input == ()


def test_a_tenants_own_route_takes_the_place_of_a_built_in_one() -> None:
    config = TenantConfig.model_validate({"routes": [{"name": "PRICE_COMPARE", "tools": ["mine"]}]})
    found = [route for route in config.all_routes() if route.name == "PRICE_COMPARE"]
    assert [route.tools for route in found] == [("mine",)]


def test_nothing_is_moderated_by_default_and_what_is_fails_closed() -> None:
    assert TenantConfig().moderation.stages == ()
    assert TenantConfig.model_validate({"moderation": {"stages": ["input"]}}).moderation.on_failure == "closed"


def test_the_order_of_stages_means_nothing() -> None:
    one, other = (
        TenantConfig.model_validate({"moderation": {"stages": stages}})
        for stages in (["input", "output"], ["output", "input"])
    )
    assert one == other


def test_a_version_survives_the_store_unchanged() -> None:
    config = TenantConfig.model_validate(EXAMPLE)
    assert TenantConfig.model_validate_json(config.model_dump_json()) == config
