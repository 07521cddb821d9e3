"""What can be redacted, and what then stands in its place."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Kind(StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    AWS_KEY = "aws_key"
    API_KEY = "api_key"  # pragma: allowlist secret
    IP = "ip"


PLACEHOLDERS: Mapping[Kind, str] = {kind: f"[{kind.upper()}]" for kind in Kind} | {Kind.IP: "[IP_ADDRESS]"}
