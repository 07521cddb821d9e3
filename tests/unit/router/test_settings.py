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


JWT: dict[str, Any] = {
    "auth_mode": "jwt,api_key",
    "jwks_url": "https://issuer.example/jwks.json",
    "jwt_issuer": "https://issuer.example/",
    "jwt_audience": "one, two",
}


def test_what_tokens_need_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (JWT | {"jwt_role_map": '{"ops": "platform_admin"}', "jwt_default_role": "none"}).items():
        monkeypatch.setenv(name.upper(), value)
    settings = Settings(**BASE)
    assert settings.auth_mode == {AuthMode.JWT, AuthMode.API_KEY}
    assert settings.jwt_audience == ("one", "two")
    assert settings.jwt_role_map == {"ops": Role.PLATFORM_ADMIN}
    assert settings.jwt_default_role is None


def test_by_default_two_roles_mean_themselves_and_none_is_platforms() -> None:
    settings = Settings(**(BASE | JWT))
    assert settings.jwt_role_map == {"tenant_admin": Role.TENANT_ADMIN, "tenant_user": Role.TENANT_USER}
    assert (settings.jwt_tenant_claim, settings.jwt_roles_claim) == ("tenant_id", "roles")
    assert settings.jwt_default_role is Role.TENANT_USER


@pytest.mark.parametrize("missing", ["jwks_url", "jwt_issuer", "jwt_audience"])
@pytest.mark.parametrize("value", ["", None])
def test_a_mode_without_what_it_needs_names_it(missing: str, value: str | None) -> None:
    given = {name: text for name, text in (JWT | {missing: value}).items() if text is not None}
    with pytest.raises(ValidationError, match=missing.upper()):
        Settings(**(BASE | given))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/jwks", "http://localhost/jwks", "http://[::1]:80/jwks"])
def test_the_issuer_may_be_on_this_machine_without_tls(url: str) -> None:
    assert Settings(**(BASE | JWT | {"jwks_url": url})).jwks_url == url


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"jwks_url": url}
            for url in (
                "http://issuer.example/jwks",
                "http://127.0.0.1.issuer.example/jwks",
                "http://localhost@issuer.example/jwks",
                "https:///jwks",
                "file:///etc/jwks",
                "issuer.example/jwks",
                "https://[",
            )
        ),
        {"jwt_default_role": "platform_admin"},
        {"jwt_default_role": "root"},
        {"jwt_role_map": {"a": "root"}},
        {"jwt_tenant_claim": ""},
        {"jwks_stale_s": 0},
        {"auth_mode": "header", "router_host": "0.0.0.0"},  # noqa: S104  the address under test
        {"auth_mode": "header", "router_host": "::"},
        {"moderation_url": "api.openai.com/v1/moderations"},
        {"moderation_url": "file:///etc/passwd"},
        {"moderation_url": "https://user:password@moderation.example/"},
        {"moderation_api_key": "sk-1"},
        {"moderation_url": "https://moderation.example/", "moderation_api_key": "changeme"},
        {"moderation_url": "https://moderation.example/", "moderation_api_key": "a b"},
        {"moderation_url": "https://moderation.example/", "bedrock_guardrail_id": "g", "bedrock_guardrail_version": 1},
        {"bedrock_guardrail_id": "g"},
        {"bedrock_guardrail_id": "g", "bedrock_guardrail_version": "latest"},
        {"moderation_timeout_s": 0},
        {"auth_mode": ""},
        {"auth_mode": "magic"},
        {"header_role": "platform_admin"},
        {"service_signing_key": None},
        {"service_signing_key": "changeme"},
        {"atrium_bootstrap_key": "changeme"},
        {"atrium_bootstrap_key": "short"},
        {"atrium_bootstrap_key": "atr_with a space in it"},
        {"atrium_bootstrap_key": "atr_" + "x" * 512},
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


def test_a_bootstrap_key_is_the_same_with_its_line_end() -> None:
    key = Settings(**BASE, atrium_bootstrap_key="atr_from-a-mounted-file\n").atrium_bootstrap_key
    assert key is not None
    assert key.get_secret_value() == "atr_from-a-mounted-file"


@pytest.mark.parametrize(
    ("said", "moderated"),
    [
        ({}, False),
        ({"moderation_url": "", "bedrock_guardrail_id": "", "bedrock_guardrail_version": ""}, False),
        ({"moderation_url": "http://moderation:8080/v1/moderations", "moderation_api_key": "sk-1\n"}, True),
        ({"bedrock_guardrail_id": "g", "bedrock_guardrail_version": "DRAFT"}, True),
    ],
)
def test_whether_there_is_a_moderation_service(said: dict[str, Any], moderated: bool) -> None:
    assert Settings(**(BASE | said)).moderated is moderated
