"""The tenant id's syntax is a security boundary: keys, paths and policies are built from it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from contracts.tenant import TENANT_ID_PATTERN, InvalidTenantIdError, TenantId


class Holder(BaseModel):
    tenant: TenantId


@pytest.mark.parametrize("text", ["a", "1", "t1", "a-b", "a" * 63, "0-0"])
def test_valid_ids_are_kept_as_they_are(text: str) -> None:
    assert str(TenantId(text)) == text


@pytest.mark.parametrize(
    "text", ["", "A", "a_b", "-a", "a-", "a" * 64, "a.b", "a/b", "a:b", "a*", "{a}", "a%", "a\x00", "a\n", "ä", "a b"]
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidTenantIdError):
        TenantId(text)
    with pytest.raises(ValidationError):
        Holder.model_validate({"tenant": text})


@given(st.text(max_size=70))
def test_the_type_accepts_exactly_what_the_published_pattern_says(text: str) -> None:
    published = re.search(TENANT_ID_PATTERN.removesuffix("$") + r"\Z", text) is not None
    try:
        accepted = bool(TenantId(text))
    except InvalidTenantIdError:
        accepted = False
    assert accepted == published


def test_it_travels_through_json_and_stays_a_type() -> None:
    holder = Holder.model_validate_json('{"tenant": "t1"}')
    assert holder.tenant == TenantId("t1")
    assert holder.model_dump_json() == '{"tenant":"t1"}'
