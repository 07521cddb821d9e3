"""Claims become a principal, wherever an issuer puts them; what is missing or strange gives nobody anything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.context import Role
from contracts.errors import ForbiddenError, UnauthenticatedError
from contracts.tenant import TenantId
from router.domain.access import BY_STRENGTH, Principal, strongest
from router.domain.claims import ClaimRules, claim, safe_subject

T1 = TenantId("t1")
ITSELF = {"tenant_admin": Role.TENANT_ADMIN, "tenant_user": Role.TENANT_USER}


def rules(**changes: Any) -> ClaimRules:
    values: dict[str, Any] = {
        "tenant_claim": "tenant_id",
        "roles_claim": "roles",
        "role_map": ITSELF,
        "default_role": Role.TENANT_USER,
    }
    return ClaimRules(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        (
            {"tenant_claim": "custom:tenant_id", "roles_claim": "cognito:groups"},
            {"custom:tenant_id": "t1", "cognito:groups": ["tenant_admin"], "token_use": "id"},
        ),
        (
            {"tenant_claim": "https://example.com/tenant_id", "roles_claim": "https://example.com/roles"},
            {"https://example.com/tenant_id": "t1", "https://example.com/roles": ["tenant_admin"], "azp": "app"},
        ),
        (
            {"tenant_claim": "app_metadata.tenant_id", "roles_claim": "app_metadata.role"},
            {
                "app_metadata": {"tenant_id": "t1", "role": "tenant_admin", "provider": "email"},
                "user_metadata": {"tenant_id": "t2", "role": "platform_admin"},
                "role": "authenticated",
            },
        ),
        (
            {"roles_claim": "realm_access.roles"},
            {"tenant_id": "t1", "realm_access": {"roles": ["offline_access", "tenant_admin"]}, "typ": "Bearer"},
        ),
    ],
    ids=["cognito", "auth0", "supabase", "keycloak"],
)
def test_each_issuers_shape_is_read(changes: dict[str, Any], claims: dict[str, Any]) -> None:
    found = rules(**changes).principal({"sub": "auth0|1", **claims})
    assert found == Principal(T1, Role.TENANT_ADMIN, "jwt:auth0|1", "auth0|1")


def test_the_exact_name_goes_before_the_path() -> None:
    assert claim({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert claim({"a": {"b": 2}}, "a.b") == 2
    assert claim({"a": ["b"]}, "a.b") is None
    assert claim({"a": {"c": 2}}, "a.b") is None


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        ("tenant_admin", Role.TENANT_ADMIN),
        ("openid tenant_admin email", Role.TENANT_ADMIN),
        (["tenant_user", "tenant_admin"], Role.TENANT_ADMIN),
        (["x"], Role.TENANT_USER),
        (["platform_admin", "service"], Role.TENANT_USER),
        ("platform_admin", Role.TENANT_USER),
        ([["tenant_admin"], 1, None], Role.TENANT_USER),
        ({"tenant_admin": True}, Role.TENANT_USER),
        (None, Role.TENANT_USER),
    ],
)
def test_the_strongest_role_in_the_map_counts_else_the_default(roles: Any, role: Role) -> None:
    assert rules().principal({"tenant_id": "t1", "roles": roles}).role is role


def test_a_map_of_ones_own_replaces_the_default_and_may_hold_spaces() -> None:
    own = rules(role_map={"Power User": Role.TENANT_ADMIN, "ops": Role.PLATFORM_ADMIN, "bot": Role.SERVICE})
    assert own.principal({"tenant_id": "t1", "roles": "Power User"}).role is Role.TENANT_ADMIN
    assert own.principal({"tenant_id": "t1", "roles": ["bot"]}).role is Role.SERVICE
    assert own.principal({"tenant_id": "t1", "roles": "tenant_admin"}).role is Role.TENANT_USER
    assert own.principal({"roles": ["bot", "ops"]}) == Principal(None, Role.PLATFORM_ADMIN, "jwt:unknown")
    with pytest.raises(UnauthenticatedError):
        own.principal({"roles": ["ops"], "tenant_id": "T 1"})


def test_without_a_default_a_token_without_a_role_is_forbidden() -> None:
    with pytest.raises(ForbiddenError):
        rules(default_role=None).principal({"tenant_id": "t1", "roles": ["x"]})


@pytest.mark.parametrize("tenant", [None, "", "T1", "t1\n", "t1,t2", " t1", "../t1", 1, True, ["t1"], {"t1": 1}])
def test_a_tenant_that_is_none_is_refused(tenant: Any) -> None:
    with pytest.raises(UnauthenticatedError, match=r"^the token is not valid$"):
        rules().principal({"tenant_id": tenant})


@settings(deadline=None)
@given(st.text() | st.characters().map(lambda char: char * 130))
def test_a_subject_becomes_a_safe_user_id(subject: str) -> None:
    found = safe_subject(subject)
    if subject:
        assert found is not None
        assert len(f"jwt:{found}") <= 128
        assert all("\x21" <= char <= "\x7e" for char in found)


def test_two_subjects_are_never_one_user() -> None:
    strange = "a b"
    assert safe_subject("a|b") == "a|b"
    assert (hashed := safe_subject(strange)) is not None
    assert safe_subject(hashed) not in {hashed, None}
    assert safe_subject("x" * 125) != safe_subject("x" * 126)
    assert safe_subject(7) is None


def test_every_role_has_its_rank() -> None:
    assert set(BY_STRENGTH) == set(Role)
    assert strongest([Role.TENANT_USER, Role.SERVICE]) is Role.SERVICE
    assert strongest([]) is None


def test_a_user_is_whom_the_credential_proves_and_others_may_name_one() -> None:
    user = Principal(T1, Role.TENANT_USER, "jwt:u1", "u1")
    admin = Principal(T1, Role.TENANT_ADMIN, "jwt:a1", "a1")
    key = Principal(T1, Role.TENANT_USER, "key_1")
    assert [user.user_for("u2"), user.user_for(None)] == ["u1", "u1"]
    assert [admin.user_for("u2"), admin.user_for(None)] == ["u2", "a1"]
    assert [key.user_for("u2"), key.user_for(None)] == ["u2", None]
