"""Settings of the router, read from the environment once."""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from contracts.context import Role
from servicekit.settings import OutboundSettings, refuse_placeholder
from servicekit.tokens import load_signing_key

_BOOTSTRAP_KEY = re.compile(r"[\x21-\x7e]{12,512}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")


class AuthMode(StrEnum):
    HEADER = "header"
    API_KEY = "api_key"  # pragma: allowlist secret
    JWT = "jwt"


class Settings(OutboundSettings):
    """A field's name in capitals is its variable. Frozen; a value that cannot work refuses to start."""

    router_host: str = "127.0.0.1"
    router_port: int = Field(default=8080, ge=1, le=65_535)
    database_url: SecretStr
    redis_url: SecretStr
    orchestrator_url: str
    rag_service_url: str
    auth_mode: Annotated[frozenset[AuthMode], NoDecode] = frozenset({AuthMode.API_KEY})
    header_role: Role = Role.TENANT_USER
    trust_tenant_header: bool = False
    trusted_proxy_cidrs: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    object_store_url: str | None = None
    object_store_role_arn: str | None = Field(default=None, pattern=r"^arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+$")
    moderation_url: str | None = None
    moderation_api_key: SecretStr | None = None
    moderation_model: str | None = None
    moderation_timeout_s: float = Field(default=1.0, ge=0.05, le=30)
    bedrock_guardrail_id: str | None = None
    bedrock_guardrail_version: str | None = Field(default=None, pattern=r"^(?:[1-9][0-9]{0,7}|DRAFT)$")
    bedrock_endpoint_url: str | None = None
    jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: Annotated[tuple[str, ...], NoDecode] = ()
    jwt_tenant_claim: str = Field(default="tenant_id", min_length=1)
    jwt_roles_claim: str = Field(default="roles", min_length=1)
    jwt_role_map: dict[str, Role] = Field(
        default_factory=lambda: {role.value: role for role in (Role.TENANT_ADMIN, Role.TENANT_USER)}
    )
    jwt_default_role: Role | None = Role.TENANT_USER
    jwks_max_age_s: float = Field(default=600.0, gt=0)
    jwks_refresh_interval_s: float = Field(default=10.0, ge=0)
    jwks_stale_s: float = Field(default=3_600.0, gt=0)
    atrium_bootstrap_key: SecretStr | None = None
    request_timeout_s: float = Field(default=120.0, gt=0, le=3_600)
    hold_without_replicas_s: float = Field(default=0.0, ge=0, le=3_600, description="0: refused at once, as unknown")
    slow_reader_s: float = Field(default=30.0, gt=0, le=3_600, description="then who does not read is cut off")
    ingest_timeout_s: float = Field(default=600.0, gt=0, le=3_600)
    engine_context_tokens: int = Field(default=4_096, ge=64, description="of the engine's model: prompt and answer")
    pool_kept_free: int | None = Field(default=None, ge=0, le=65_536, description="places of a pool, for newcomers")
    cache_unsalted_pools: Annotated[frozenset[str], NoDecode] = frozenset()
    max_answer_tokens: int = Field(default=512, ge=1, le=32_768)
    max_passages_bytes: int = Field(default=6_000, ge=200)
    memory_turns: int = Field(default=12, ge=0, le=100, description="earlier turns that are sent before a summary")
    memory_bytes: int = Field(default=32_768, ge=1_024, le=1_048_576, description="of all that is recalled")
    price_prompt_usd_per_mtok: Decimal = Field(default=Decimal("0.10"), ge=0, le=1_000_000, decimal_places=3)
    price_cached_usd_per_mtok: Decimal | None = Field(default=None, ge=0, le=1_000_000, decimal_places=3)
    price_completion_usd_per_mtok: Decimal = Field(default=Decimal("0.40"), ge=0, le=1_000_000, decimal_places=3)

    @field_validator("auth_mode", "cache_unsalted_pools", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return frozenset(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("jwt_audience", "trusted_proxy_cidrs", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("jwks_url")
    @classmethod
    def _keys_come_over_tls(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        host = parts.hostname or ""
        if (parts.scheme == "https" and host) or (parts.scheme == "http" and is_loopback(host)):
            return value
        raise ValueError("JWKS_URL is https://…: whoever can change what comes from there can be anyone")

    @field_validator(
        "moderation_url",
        "moderation_model",
        "bedrock_guardrail_id",
        "bedrock_guardrail_version",
        "bedrock_endpoint_url",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @field_validator("moderation_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://none")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise ValueError("MODERATION_URL is a whole address, as https://api.openai.com/v1/moderations")
        return value

    @field_validator("moderation_api_key", mode="before")
    @classmethod
    def _without_its_end(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value

    @field_validator("jwt_default_role", mode="before")
    @classmethod
    def _none_is_no_role(cls, value: object) -> object:
        return None if value == "none" else value

    @field_validator("jwt_default_role")
    @classmethod
    def _no_platform_by_default(cls, value: Role | None) -> Role | None:
        if value is Role.PLATFORM_ADMIN:
            raise ValueError("JWT_DEFAULT_ROLE is never platform_admin: name the claim's value in JWT_ROLE_MAP")
        return value

    @field_validator("atrium_bootstrap_key", mode="before")
    @classmethod
    def _without_its_line_end(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value

    @field_validator("header_role")
    @classmethod
    def _no_platform_by_header(cls, value: Role) -> Role:
        if value not in {Role.TENANT_ADMIN, Role.TENANT_USER}:
            raise ValueError("HEADER_ROLE is tenant_admin or tenant_user: platform operations always need a key")
        return value

    @model_validator(mode="after")
    def _secrets_are_real(self) -> Self:
        if self.service_signing_key is None:
            raise ValueError("SERVICE_SIGNING_KEY is needed: the router signs what it sends on")
        refuse_placeholder("DATABASE_URL", self.database_url.get_secret_value())
        refuse_placeholder("REDIS_URL", self.redis_url.get_secret_value())
        if self.atrium_bootstrap_key is not None:
            key = self.atrium_bootstrap_key.get_secret_value()
            refuse_placeholder("ATRIUM_BOOTSTRAP_KEY", key)
            if not _BOOTSTRAP_KEY.fullmatch(key):
                raise ValueError(
                    "ATRIUM_BOOTSTRAP_KEY must have 12 to 512 printable ASCII characters and no space: "
                    "another one could never be presented"
                )
        return self

    @model_validator(mode="after")
    def _moderation_is_one_service(self) -> Self:
        if self.moderation_url is not None and self.bedrock_guardrail_id is not None:
            raise ValueError("MODERATION_URL and BEDROCK_GUARDRAIL_ID name two moderation services: choose one")
        if self.bedrock_guardrail_id is not None and self.bedrock_guardrail_version is None:
            raise ValueError("BEDROCK_GUARDRAIL_ID needs BEDROCK_GUARDRAIL_VERSION: a number, or DRAFT")
        if self.moderation_api_key is not None:
            key = self.moderation_api_key.get_secret_value()
            refuse_placeholder("MODERATION_API_KEY", key)
            if not _HEADER_VALUE.fullmatch(key):
                raise ValueError("MODERATION_API_KEY must be printable ASCII without a space")
            if self.moderation_url is None:
                raise ValueError("MODERATION_API_KEY is set, and MODERATION_URL is not")
        return self

    @property
    def moderated(self) -> bool:
        """Whether there is a moderation service."""
        return self.moderation_url is not None or self.bedrock_guardrail_id is not None

    def signing_key(self) -> Ed25519PrivateKey:
        assert self.service_signing_key is not None  # noqa: S101  proved by the validator above
        return load_signing_key(self.service_signing_key.get_secret_value())

    @model_validator(mode="after")
    def _header_mode_stays_home(self) -> Self:
        if not self.auth_mode:
            raise ValueError("AUTH_MODE names no mode")
        if AuthMode.HEADER in self.auth_mode and not self.trust_tenant_header and not is_loopback(self.router_host):
            raise ValueError(
                f"AUTH_MODE=header believes whoever can connect, and ROUTER_HOST={self.router_host} is not loopback: "
                "use api_key, or set TRUST_TENANT_HEADER=true where a trusted proxy sets the header"
            )
        return self

    @model_validator(mode="after")
    def _tokens_can_be_checked(self) -> Self:
        needed = {"JWKS_URL": self.jwks_url, "JWT_ISSUER": self.jwt_issuer, "JWT_AUDIENCE": self.jwt_audience}
        missing = [name for name, value in needed.items() if not value]
        if AuthMode.JWT in self.auth_mode and missing:
            raise ValueError(f"AUTH_MODE has jwt, which needs {', '.join(missing)}")
        return self


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
