"""A list that is too long is one fault, however much in it is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.retrieval import SearchFilter
from tenancy.config import TenantConfig

WRONG: list[dict[str, Any]] = [{}] * 200_000


@pytest.mark.parametrize("field", ["source", "tags", "document_ids"])
def test_a_filter_of_far_too_many_values_is_a_fault_or_two(field: str) -> None:
    wrong: dict[str, Any] = {field: WRONG}
    with pytest.raises(ValidationError) as found:
        SearchFilter(**wrong)
    assert found.value.error_count() <= 2  # a text, or a list: each has its reason


@pytest.mark.parametrize(
    "field",
    ["blocked_tools", "sensitive_prompt_patterns", "refusal_rules", "adapters", "allowed_routes", "routes"],
)
def test_a_config_with_a_list_that_is_too_long_is_one_fault(field: str) -> None:
    with pytest.raises(ValidationError) as found:
        TenantConfig.model_validate({field: WRONG})
    assert found.value.error_count() == 1
