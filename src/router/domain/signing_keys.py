"""The public keys of a token issuer, read from its JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, ValidationError

MIN_RSA_BITS = 2048

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_ALGORITHMS: Mapping[tuple[str, str | None], str] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
"""What a key of this type and curve is for. Nothing else decides the algorithm, the token least of all."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Two keys with the same name, algorithm and material (`der`) are the same key: a refresh that brings nothing new
    changes nothing."""

    kid: str | None
    algorithm: str
    der: bytes = field(repr=False)
    public: PublicKey = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class KeySet:
    keys: frozenset[SigningKey] = frozenset()

    def __contains__(self, key: SigningKey) -> bool:
        return key in self.keys

    def knows(self, kid: str) -> bool:
        return any(key.kid == kid for key in self.keys)

    def find(self, kid: str | None, algorithm: str) -> SigningKey | None:
        """The one key that a token with this header can mean; None where there is none, or more than one."""
        found = [key for key in self.keys if key.algorithm == algorithm and kid in {None, key.kid}]
        return found[0] if len(found) == 1 else None


class _Jwk(BaseModel):
    """What is read of a key. Certificates (`x5c`) and addresses (`x5u`, `jku`) in it are not looked at."""

    model_config = ConfigDict(strict=True)

    kty: str
    crv: str | None = None
    alg: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    kid: str | None = None
    n: str | None = None
    e: str | None = None
    x: str | None = None
    y: str | None = None
    d: None = None
    """A private half that is public proves nothing: such a key is no key."""


class _JwkSet(BaseModel):
    keys: list[Any]


def read_key_set(body: bytes) -> KeySet:
    """The keys that may sign a token; the others (symmetric, for encryption, too short, broken) are left out, as RFC
    7517 §5 asks. Raises ValueError where the body is no key set at all."""
    return KeySet(frozenset(_usable(_JwkSet.model_validate_json(body).keys)))


def _usable(items: list[Any]) -> Iterator[SigningKey]:
    for item in items:
        try:
            jwk = _Jwk.model_validate(item)
        except ValidationError:
            continue
        if (key := _signing_key(jwk)) is not None:
            yield key


def _signing_key(jwk: _Jwk) -> SigningKey | None:
    algorithm = _ALGORITHMS.get((jwk.kty, jwk.crv))
    for_signatures = jwk.use in {None, "sig"} and (jwk.key_ops is None or "verify" in jwk.key_ops)
    if algorithm is None or jwk.alg not in {None, algorithm} or not for_signatures:
        return None
    try:
        public = jwt.PyJWK(jwk.model_dump(exclude_none=True), algorithm).key
    except (jwt.PyJWTError, UnsupportedAlgorithm):
        return None
    if not isinstance(public, PublicKey) or (isinstance(public, RSAPublicKey) and public.key_size < MIN_RSA_BITS):
        return None
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey(jwk.kid, algorithm, der, public)
