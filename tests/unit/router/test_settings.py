"""The router refuses to start in a way that would be unsafe."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.context import Role
from router.settings import AuthMode, Settings
from servicekit.tokens import generate_signing_key

BASE: dict[str, Any] = {
    "database_url": "postgresql://x",
    "redis_url": "redis://x",
    "orchestrator_url": "http://127.0.0.1:1",
    "rag_service_url": "http://127.0.0.1:2",
    "service_signing_key": generate_signing_key(),
}


def test_keys_are_the_default() -> None:
    assert Settings(**BASE).auth_mode == {AuthMode.API_KEY}


def test_several_modes_are_read_from_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", "header, api_key")
    settings = Settings(**BASE)
    assert settings.auth_mode == {AuthMode.HEADER, AuthMode.API_KEY}
    assert settings.header_role is Role.TENANT_USER


@pytest.mark.parametrize(
    "change",
    [
        {"auth_mode": "header", "router_host": "0.0.0.0"},  # noqa: S104  the address under test
        {"auth_mode": "header", "router_host": "::"},
        {"auth_mode": ""},
        {"auth_mode": "magic"},
        {"header_role": "platform_admin"},
        {"service_signing_key": None},
        {"service_signing_key": "changeme"},
        {"atrium_bootstrap_key": "changeme"},
        {"atrium_bootstrap_key": ""},
    ],
)
def test_an_unsafe_setting_refuses_to_start(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**(BASE | change))


def test_a_trusted_mesh_may_send_the_header_from_anywhere() -> None:
    mesh = {"auth_mode": "header", "router_host": "0.0.0.0", "trust_tenant_header": True}  # noqa: S104  as above
    assert Settings(**(BASE | mesh)).trust_tenant_header


def test_a_secret_is_not_in_the_message() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**(BASE | {"service_signing_key": "this-is-my-secret"}))
    assert "this-is-my-secret" not in str(caught.value)
