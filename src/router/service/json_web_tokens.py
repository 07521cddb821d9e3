"""JSON Web Tokens (RFC 7519) as credentials, checked as RFC 8725 asks: the key decides the algorithm."""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from contracts.errors import UnauthenticatedError
from router.domain.access import Principal
from router.domain.claims import NOT_VALID, ClaimRules
from router.domain.signing_keys import SigningKey
from router.ports import IssuerKeys

MAX_TOKEN_CHARS = 16 * 1024
MAX_REMEMBERED = 10_000
LEEWAY_S = 30
"""By how much an issuer's clock may differ from ours."""

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\Z")
_REFUSED_HEADERS = frozenset({"crit", "b64"})
"""They change how a token is to be read. Those that name a key of the token's own choice (`jku`, `jwk`, `x5u`, `x5c`)
are never read: a key comes from the issuer's set or not at all."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose tokens are accepted, and for whom they must be: one of the audiences is enough."""

    issuer: str
    audiences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    key: SigningKey
    until: int
    """Seconds since 1970."""


def looks_like_jwt(text: str) -> bool:
    """Three parts of base64url, the last of which may be empty. A token of any length looks like one."""
    return _SHAPE.match(text) is not None


class JsonWebTokens:
    """Verifies a token once, and remembers that by the hash of its whole text while its key is the issuer's."""

    def __init__(
        self,
        issuer_keys: IssuerKeys,
        expected: Expected,
        rules: ClaimRules,
        *,
        max_remembered: int = MAX_REMEMBERED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer_keys = issuer_keys
        self._expected = expected
        self._rules = rules
        self._max_remembered = max_remembered
        self._clock = clock
        self._remembered: OrderedDict[bytes, _Verified] = OrderedDict()

    async def principal(self, text: str) -> Principal:
        """Raises UnauthenticatedError, ForbiddenError (no role), DependencyDownError (no keys to check it with)."""
        if len(text) > MAX_TOKEN_CHARS or not looks_like_jwt(text):
            raise UnauthenticatedError(NOT_VALID)
        digest = hashlib.sha256(text.encode("ascii")).digest()
        known = self._remembered.get(digest)
        if known is not None and self._clock() < known.until and known.key in await self._issuer_keys.keys():
            self._remember(digest, known)
            return known.principal
        self._remembered.pop(digest, None)
        verified = await self._verified(text)
        self._remember(digest, verified)
        return verified.principal

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._remembered[digest] = verified
        self._remembered.move_to_end(digest)
        if len(self._remembered) > self._max_remembered:
            self._remembered.popitem(last=False)

    async def _verified(self, text: str) -> _Verified:
        kid, algorithm = _header(text)
        key = (await self._issuer_keys.keys(kid)).find(kid, algorithm)
        if key is None:
            raise UnauthenticatedError(NOT_VALID)
        claims = self._claims(text, key)
        return _Verified(self._rules.principal(claims), key, int(claims["exp"]) + LEEWAY_S)

    def _claims(self, text: str, key: SigningKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                text,
                key.public,
                algorithms=[key.algorithm],
                issuer=self._expected.issuer,
                audience=self._expected.audiences,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise UnauthenticatedError("the token has expired") from error
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(NOT_VALID) from error


def _header(text: str) -> tuple[str | None, str]:
    """The `kid`, if any, and the `alg` of a token that nobody has verified yet."""
    try:
        header = jwt.get_unverified_header(text)
    except jwt.PyJWTError as error:
        raise UnauthenticatedError(NOT_VALID) from error
    kid, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None) or _REFUSED_HEADERS & header.keys():
        raise UnauthenticatedError(NOT_VALID)
    return kid, algorithm
