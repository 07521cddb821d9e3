"""API keys: 256 random bits, shown once, kept as a SHA-256 hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from contracts.context import Role
from contracts.tenant import TenantId

PREFIX = "atr_"
MAX_KEY_CHARS = 512


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whom a key speaks for; `tenant_id` is None for a platform key."""

    key_id: str
    tenant_id: TenantId | None
    role: Role


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment its text exists."""

    key_id: str
    text: str
    key_hash: bytes


def new_key() -> NewKey:
    return keyed(PREFIX + secrets.token_urlsafe(32))


def keyed(text: str) -> NewKey:
    """A key whose text was chosen elsewhere (ATRIUM_BOOTSTRAP_KEY)."""
    return NewKey("key_" + secrets.token_hex(8), text, hash_key(text))


def hash_key(text: str) -> bytes:
    """A plain hash is enough for 256 random bits: there is nothing to guess, so nothing to slow down."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
