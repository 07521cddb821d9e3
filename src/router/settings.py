"""Settings of the router, read from the environment once."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from contracts.context import Role
from servicekit.settings import ServiceSettings, refuse_placeholder
from servicekit.tokens import load_signing_key


class AuthMode(StrEnum):
    HEADER = "header"
    API_KEY = "api_key"


class Settings(ServiceSettings):
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
    object_store_url: str | None = None
    aws_region: str = "us-east-1"
    atrium_bootstrap_key: SecretStr | None = None
    request_timeout_s: float = Field(default=120.0, gt=0, le=3_600)
    ingest_timeout_s: float = Field(default=600.0, gt=0, le=3_600)
    price_prompt_usd_per_mtok: float = Field(default=0.10, ge=0, description="USD per million prompt tokens")
    price_completion_usd_per_mtok: float = Field(default=0.40, ge=0, description="USD per million completion tokens")

    @field_validator("auth_mode", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return frozenset(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

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
            refuse_placeholder("ATRIUM_BOOTSTRAP_KEY", self.atrium_bootstrap_key.get_secret_value())
        return self

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


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
