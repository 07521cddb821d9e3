"""What every inner service reads from its environment: the log level and the keys that it trusts."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from observability.settings import TelemetrySettings
from servicekit.outbound import Network, parse_networks
from servicekit.tokens import load_signing_key, load_verify_key

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda level: level.upper() if isinstance(level, str) else level),
]

_PLACEHOLDER = re.compile(r"[\W_]*(change[\W_]*me|placeholder|replace[\W_]*me|todo$|<.*>$)", re.IGNORECASE)


def is_placeholder(secret: str) -> bool:
    """True for an empty secret and for one that a template left to be filled in (`changeme`, `CHANGE_ME`, …)."""
    return not secret.strip() or _PLACEHOLDER.match(secret.strip()) is not None


def refuse_placeholder(name: str, secret: str) -> None:
    """Raises ValueError naming the setting, never the value."""
    if is_placeholder(secret):
        raise ValueError(f"{name} is empty or a placeholder: set a real value")


class ServiceSettings(TelemetrySettings):
    """Base of a callee's settings. Reading it fails, with the setting named, where no usable verify key is given.

    `SERVICE_VERIFY_KEYS` holds public keys (PEM or base64, comma-separated, two while a key is rotated).
    Where it is absent, the public half of `SERVICE_SIGNING_KEY` is used: convenient locally, not for production,
    where the router alone holds the private key.
    """

    # hide_input: an error message of pydantic would otherwise repeat the secret it complains about.
    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    log_level: LogLevel = "INFO"
    service_verify_keys: str | None = None
    service_signing_key: SecretStr | None = None
    keep_alive_s: int = Field(default=5, ge=1, le=3_600, description="so long an idle connection is kept")
    shutdown_linger_s: float = Field(default=0.0, ge=0, le=600, description="from SIGTERM to the end of listening")
    shutdown_grace_s: int = Field(default=10, ge=1, le=7_200, description="then, for the answers in flight to end")

    @model_validator(mode="after")
    def _has_usable_keys(self) -> Self:
        self.verify_keys()
        return self

    def verify_keys(self) -> list[Ed25519PublicKey]:
        """The keys a service token may be signed with, at least one. Raises ValueError."""
        if self.service_verify_keys is not None:
            texts = [text.strip() for text in self.service_verify_keys.split(",")]
            for text in texts:
                refuse_placeholder("SERVICE_VERIFY_KEYS", text)
            return [load_verify_key(text) for text in texts]
        if self.service_signing_key is None:
            raise ValueError("SERVICE_VERIFY_KEYS is needed (or SERVICE_SIGNING_KEY, for a local run)")
        secret = self.service_signing_key.get_secret_value()
        refuse_placeholder("SERVICE_SIGNING_KEY", secret)
        return [load_signing_key(secret).public_key()]


class OutboundSettings(ServiceSettings):
    """Of a service that handles tenants' secrets for engines elsewhere: how the secrets are sealed (by KMS, else with
    keys of one's own, the first of several being the active one), and which networks besides the public ones a
    tenant's engine may be in."""

    sealing_keys: SecretStr | None = None
    kms_key_id: str | None = None
    external_engine_networks: str = ""
    aws_region: str = "us-east-1"
    aws_endpoint_url: str | None = None

    @model_validator(mode="after")
    def _outbound_is_usable(self) -> Self:
        if self.sealing_keys is not None and self.sealing_keys.get_secret_value():
            refuse_placeholder("SEALING_KEYS", self.sealing_keys.get_secret_value())
        self.networks()
        return self

    def networks(self) -> tuple[Network, ...]:
        """Raises ValueError."""
        return parse_networks(self.external_engine_networks)

    def sealing_key_text(self) -> str | None:
        return self.sealing_keys.get_secret_value() if self.sealing_keys is not None else None
