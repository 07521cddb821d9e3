"""Service tokens: a tenant context, signed by the router (Ed25519 JWT, RFC 8037) for one callee and one minute.

The router alone holds the private key; a callee holds public keys only, so no callee can speak for a tenant.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from contracts.context import Audience, TenantContext
from contracts.errors import UnauthenticatedError

ISSUER = "atrium-router"
MAX_LIFETIME = timedelta(seconds=60)
_ALGORITHM = "EdDSA"


class InvalidKeyError(ValueError):
    """The text is not an Ed25519 key in PEM or as 32 bytes in base64."""


def load_signing_key(text: str) -> Ed25519PrivateKey:
    """`text` is a PKCS#8 PEM or the 32-byte seed in base64 (standard or URL alphabet)."""
    try:
        if text.lstrip().startswith("-----BEGIN"):
            key = load_pem_private_key(text.encode(), password=None)
            if isinstance(key, Ed25519PrivateKey):
                return key
            raise InvalidKeyError("the signing key is not an Ed25519 key")
        return Ed25519PrivateKey.from_private_bytes(_decode(text))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKeyError("the signing key is neither a PEM nor 32 bytes in base64") from error


def load_verify_key(text: str) -> Ed25519PublicKey:
    """`text` is a SubjectPublicKeyInfo PEM or the 32-byte public key in base64."""
    try:
        if text.lstrip().startswith("-----BEGIN"):
            key = load_pem_public_key(text.encode())
            if isinstance(key, Ed25519PublicKey):
                return key
            raise InvalidKeyError("the verify key is not an Ed25519 key")
        return Ed25519PublicKey.from_public_bytes(_decode(text))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKeyError("the verify key is neither a PEM nor 32 bytes in base64") from error


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half, in the base64 form that `load_verify_key` takes."""
    return base64.urlsafe_b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def generate_signing_key() -> str:
    """A new seed, in the base64 form that `load_signing_key` takes."""
    key = Ed25519PrivateKey.generate()
    return base64.urlsafe_b64encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())).decode()


def key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise InvalidKeyError("the key is not base64") from error


def utc_now() -> datetime:
    return datetime.now(UTC)


class TokenSigner:
    """Mints tokens. Held by the router alone."""

    def __init__(self, key: Ed25519PrivateKey, *, now: Callable[[], datetime] = utc_now) -> None:
        self._key = key
        self._kid = key_id(key.public_key())
        self._now = now

    def mint(self, audience: Audience, context: TenantContext) -> str:
        now = self._now()
        claims = {
            "iss": ISSUER,
            "aud": audience.value,
            "iat": now,
            "exp": now + MAX_LIFETIME,
            "ctx": context.model_dump(mode="json"),
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self._kid})


class TokenVerifier:
    """Accepts tokens minted for `audience` with one of `keys` (two while a key is being rotated)."""

    def __init__(self, audience: Audience, keys: Sequence[Ed25519PublicKey]) -> None:
        if not keys:
            raise InvalidKeyError("a service needs at least one verify key")
        self._audience = audience
        self._keys = {key_id(key): key for key in keys}

    def verify(self, token: str) -> TenantContext:
        """The context the router signed. Raises UnauthenticatedError for anything else, without saying which part."""
        try:
            key = self._keys[_named_key(token)]
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=self._audience.value,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "aud", "iss"], "strict_aud": True},
            )
            if claims["exp"] - claims["iat"] > MAX_LIFETIME.total_seconds():
                raise UnauthenticatedError("the service token is not valid")
            return TenantContext.model_validate(claims.get("ctx"))
        except (jwt.PyJWTError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise UnauthenticatedError("the service token is not valid") from error


def _named_key(token: str) -> str:
    """The `kid` of the token's head, which nothing vouches for yet: it chooses among our keys, and no more. PyJWT would
    read the whole token for it, and then again. Raises ValueError, AttributeError."""
    head = token.partition(".")[0]
    return str(orjson.loads(base64.urlsafe_b64decode(head + "==")).get("kid"))
