"""Secrets of tenants that are kept as ciphertext: a tenant's key for an engine elsewhere.

A sealed secret is text, `sealed:…`, that may be stored, shown and logged. It opens only for the tenant that it was
sealed for: the tenant's id is part of what is authenticated.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.tenant import TenantId

SEALED = "sealed:"
KEY_BYTES = 32
NONCE_BYTES = 12
MAX_SECRET_CHARS = 1_000
MAX_OPENED = 10_000
"""Opened secrets that are remembered, so that a request asks no key service; gone when the process ends."""


class UnsealError(ValueError):
    """The text was not sealed here, or not for this tenant. Says nothing of what is in it."""


class Sealing(Protocol):
    """Both raise DependencyDownError while the key service is out of reach."""

    async def seal(self, tenant_id: TenantId, secret: str) -> str:
        """A text that `unseal` opens for this tenant alone; another one each time."""
        ...

    async def unseal(self, tenant_id: TenantId, sealed: str) -> str:
        """Raises UnsealError."""
        ...

    async def close(self) -> None: ...


class LocalSealing:
    """AES-256-GCM (NIST SP 800-38D) with keys from the environment. Seals with the first; the others still open, so
    that a key can be replaced: put the new one first, and take the old one away once no config names it."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_name(key): AESGCM(key) for key in keys}
        self._first = _name(keys[0])

    async def seal(self, tenant_id: TenantId, secret: str) -> str:
        nonce = secrets.token_bytes(NONCE_BYTES)
        told = self._keys[self._first].encrypt(nonce, secret.encode(), str(tenant_id).encode())
        return f"{SEALED}aes:{self._first}:{as_text(nonce + told)}"

    async def unseal(self, tenant_id: TenantId, sealed: str) -> str:
        name, data = parts_of(sealed, "aes")
        key = self._keys.get(name)
        if key is None:
            raise UnsealError("the secret was sealed with a key that this platform has no more")
        try:
            return key.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], str(tenant_id).encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise UnsealError("the secret was not sealed for this tenant") from error

    async def close(self) -> None:
        """Nothing is open."""


class RememberedSealing:
    """Another Sealing, which is asked once for each sealed text."""

    def __init__(self, inner: Sealing) -> None:
        self._inner = inner
        self._opened: OrderedDict[tuple[TenantId, str], str] = OrderedDict()

    async def seal(self, tenant_id: TenantId, secret: str) -> str:
        return await self._inner.seal(tenant_id, secret)

    async def unseal(self, tenant_id: TenantId, sealed: str) -> str:
        known = self._opened.get((tenant_id, sealed))
        if known is None:
            known = self._opened[tenant_id, sealed] = await self._inner.unseal(tenant_id, sealed)
            if len(self._opened) > MAX_OPENED:
                self._opened.popitem(last=False)
        return known

    async def close(self) -> None:
        self._opened.clear()
        await self._inner.close()


def parse_sealing_keys(text: str) -> list[bytes]:
    """Keys of 32 bytes in base64, comma-separated, the active one first. Raises ValueError, which says no key."""
    keys = [_bytes(part.strip()) for part in text.split(",") if part.strip()]
    if not keys or any(key is None or len(key) != KEY_BYTES for key in keys):
        raise ValueError("a sealing key is 32 random bytes in base64 (openssl rand -base64 32); several by commas")
    return [key for key in keys if key is not None]


def as_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def parts_of(sealed: str, kind: str) -> tuple[str, bytes]:
    """The key's name and the data of `sealed:KIND:NAME:DATA`. Raises UnsealError."""
    parts = sealed.removeprefix(SEALED).split(":")
    data = _bytes(parts[2]) if len(parts) == 3 else None
    if not sealed.startswith(SEALED) or parts[0] != kind or data is None:
        raise UnsealError("the text is no secret that was sealed here")
    return parts[1], data


def _bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _name(key: bytes) -> str:
    """Tells keys apart without telling anything of them."""
    return hashlib.sha256(b"atrium sealing key" + key).hexdigest()[:8]
