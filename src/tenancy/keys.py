"""API keys: 256 random bits, shown once, kept as a SHA-256 hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from contracts.context import Role
from contracts.errors import ConflictError
from contracts.tenant import TenantId

PREFIX = "atr_"
MAX_KEY_CHARS = 512
MAX_KEYS = 1_000
"""Of a tenant, those that have expired and were not revoked included."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whom a key speaks for; `tenant_id` is None for a platform key. `expires_at` None: until it is revoked."""

    key_id: str
    tenant_id: TenantId | None
    role: Role
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key. `last_used_at` is written some seconds late."""

    key_id: str
    label: str
    role: Role
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


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


def derived_key(secret: bytes, nonce: bytes) -> NewKey:
    """The key that belongs to a random nonce, made again from it whenever the same request is repeated.

    256 bits of HMAC-SHA-256 under a secret that is not in the database: as good as random without it.
    """
    bits = hmac.new(secret, b"first admin key\x00" + nonce, hashlib.sha256).digest()
    return keyed(PREFIX + base64.urlsafe_b64encode(bits).decode().rstrip("="))


def too_many_keys() -> ConflictError:
    return ConflictError(f"the tenant has {MAX_KEYS} keys already: revoke those that are not used any more")


def hash_key(text: str) -> bytes:
    """A plain hash is enough for 256 random bits: there is nothing to guess, so nothing to slow down."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
