"""A token is believed only if a key of the issuer's set signed it, for us, and not too long ago."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.context import Role
from contracts.errors import UnauthenticatedError
from contracts.tenant import TenantId
from router.domain.access import Principal
from router.domain.claims import ClaimRules
from router.domain.signing_keys import KeySet, read_key_set
from router.service.json_web_tokens import LEEWAY_S, Expected, JsonWebTokens
from support.issuer import AUDIENCE, EC_KEY, ED_KEY, ISSUER, RSA_KEY, base64url, claims, compact, jwk, key_set, token

PUBLISHED = read_key_set(key_set(jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec"), jwk(ED_KEY, "ed")))
STRANGER = ec.generate_private_key(ec.SECP256R1())
RULES = ClaimRules(
    tenant_claim="tenant_id",
    roles_claim="roles",
    role_map={"tenant_admin": Role.TENANT_ADMIN},
    default_role=Role.TENANT_USER,
)


class FixedKeys:
    """Keys without an issuer. A look-up that names a kid is one for a token that is verified anew."""

    def __init__(self, current: KeySet = PUBLISHED) -> None:
        self.current = current
        self.verified = 0

    async def keys(self, kid: str | None = None) -> KeySet:
        self.verified += kid is not None
        return self.current


def tokens(keys: FixedKeys | None = None, **options: Any) -> JsonWebTokens:
    return JsonWebTokens(keys or FixedKeys(), Expected(ISSUER, ("another", AUDIENCE)), RULES, **options)


def now() -> int:
    return int(time.time())


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda text: hmac.new(secret, text, hashlib.sha256).digest()


async def refused(text: str, because: str = "the token is not valid") -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        await tokens().principal(text)
    assert caught.value.message == because


@pytest.mark.parametrize(("key", "kid"), [(RSA_KEY, "rsa"), (EC_KEY, "ec"), (ED_KEY, "ed"), (EC_KEY, None)])
async def test_a_good_token_is_its_tenant_role_and_user(key: Any, kid: str | None) -> None:
    good = token(key, kid, roles=["tenant_admin"])
    assert await tokens().principal(good) == Principal(TenantId("t1"), Role.TENANT_ADMIN, "jwt:user-1", "user-1")


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["x", AUDIENCE]},
        {"aud": "another"},
        {"iat": None},
        {"exp": 10**30},
    ],
)
async def test_what_is_within_the_rules_is_accepted(changes: dict[str, Any]) -> None:
    assert (await tokens().principal(token(EC_KEY, "ec", **changes))).user == "user-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"aud": None},
        {"iss": None},
        {"iss": "https://issuer.example"},
        {"iss": [ISSUER]},
        {"aud": "atriu"},
        {"aud": []},
        {"aud": {AUDIENCE: 1}},
        {"exp": "soon"},
        {"exp": [1]},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"sub": 7},
        {"tenant_id": None},
        {"tenant_id": "T1"},
        {"tenant_id": "t1\x00"},
    ],
)
async def test_a_claim_that_is_missing_or_wrong_refuses(changes: dict[str, Any]) -> None:
    await refused(token(EC_KEY, "ec", **changes))


@pytest.mark.parametrize(
    ("claim", "offset_s"), [("exp", 15 - LEEWAY_S), ("nbf", LEEWAY_S - 15), ("iat", LEEWAY_S - 15)]
)
async def test_clocks_may_differ_a_little(claim: str, offset_s: int) -> None:
    assert await tokens().principal(token(EC_KEY, "ec", **{claim: now() + offset_s}))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_from_the_future_is_refused(claim: str) -> None:
    await refused(token(EC_KEY, "ec", **{claim: now() + LEEWAY_S + 30}))


async def test_an_expired_token_may_know_it() -> None:
    await refused(token(EC_KEY, "ec", exp=now() - LEEWAY_S - 5), "the token has expired")
    await refused(token(STRANGER, "ec", exp=now() - 600))


@pytest.mark.parametrize(
    "headers",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"b64": True},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": "HS256"},
        {"alg": "es256"},
        {"alg": None},
        {"alg": ["ES256"]},
        {"kid": "unknown"},
        {"kid": "rsa"},
        {"kid": None},
        {"kid": 1},
        {"kid": ["ec"]},
        {"kid": ""},
        {"kid": "ec\x00"},
        {"kid": "../../../../dev/null"},
        {"kid": "https://evil.example/key"},
        {"kid": "ec' OR '1'='1"},
        {"kid": "ec\ud800"},
    ],
)
async def test_a_header_that_is_not_the_keys_refuses(headers: dict[str, Any]) -> None:
    await refused(token(EC_KEY, "ec", headers))


async def test_a_key_that_the_token_brings_is_not_used() -> None:
    await refused(token(STRANGER, "ec", {"jwk": jwk(STRANGER, "ec")}))
    await refused(token(STRANGER, "evil", {"jwk": jwk(STRANGER, "evil"), "x5c": ["AAAA"]}))
    await refused(token(STRANGER, None))


async def test_a_key_is_used_with_its_own_algorithm_alone() -> None:
    await refused(token(RSA_KEY, "ec"))
    await refused(token(EC_KEY, "rsa"))
    await refused(token(RSA_KEY, "ec", {"alg": "ES256"}))
    await refused(token(ED_KEY, "rsa", {"alg": "RS256"}))


@pytest.mark.parametrize("kid", ["rsa", "ec", "ed", None])
@pytest.mark.parametrize("algorithm", ["HS256", "hs256", "HS512", "RS256", "ES256", "EdDSA"])
async def test_a_public_key_is_no_secret(kid: str | None, algorithm: str) -> None:
    for key in (RSA_KEY, EC_KEY, ED_KEY):
        public = key.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        secrets = [
            pem,
            pem.strip(),
            pem + b"\n",
            b" " + pem,
            pem.replace(b"\n", b"\r\n"),
            pem.replace(b"\n", b""),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            json.dumps(jwk(key, kid)).encode(),
            json.dumps(jwk(key, kid), separators=(",", ":")).encode(),
        ]
        for secret in secrets:
            header = {"alg": algorithm, **({"kid": kid} if kid else {})}
            await refused(compact(header, claims(), hs256(secret)))


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", "", "HS256", "ES256", "RS256", "EdDSA"])
@pytest.mark.parametrize("kid", ["ec", "rsa", None])
async def test_no_signature_and_an_empty_key_prove_nothing(algorithm: str, kid: str | None) -> None:
    header = {"alg": algorithm, **({"kid": kid} if kid else {})}
    await refused(compact(header, claims()))
    await refused(compact(header, claims(), hs256(b"")))
    await refused(compact(header, claims(), lambda _: b"\x00" * 64))
    await refused(compact(header, claims()).removesuffix("."))


async def test_a_token_that_resembles_a_remembered_one_is_another_token() -> None:
    keys = FixedKeys()
    verifier = tokens(keys)
    good = token(EC_KEY, "ec", zz="z" * 4_000)
    assert (await verifier.principal(good)).tenant_id == TenantId("t1")
    signed, _, signature = good.rpartition(".")
    other_payload = token(EC_KEY, "ec", zz="z" * 4_000, zzz="t2").rpartition(".")[0]
    flipped = ("A" if signature[10] != "A" else "B").join((signature[:10], signature[11:]))
    for forged in (f"{signed}.{flipped}", f"{signed}.", f"{other_payload}.{signature}", good[:-1], good + "A"):
        assert forged[:4_000] == good[:4_000]
        with pytest.raises(UnauthenticatedError):
            await verifier.principal(forged)
    assert await verifier.principal(good)


async def test_a_token_is_verified_once() -> None:
    keys = FixedKeys()
    verifier = tokens(keys)
    good = token(RSA_KEY, "rsa")
    first = await verifier.principal(good)
    for _ in range(10):
        assert await verifier.principal(good) is first
    assert keys.verified == 1
    keys.current = read_key_set(key_set(jwk(RSA_KEY, "rsa")))  # the key was fetched anew, and is the same
    assert await verifier.principal(good) is first
    assert keys.verified == 1


async def test_a_remembered_token_ends_with_its_key() -> None:
    keys = FixedKeys()
    verifier = tokens(keys)
    good = token(RSA_KEY, "rsa")
    await verifier.principal(good)
    for current in (KeySet(), read_key_set(key_set(jwk(EC_KEY, "rsa"))), read_key_set(key_set(jwk(RSA_KEY, "new")))):
        keys.current = current
        with pytest.raises(UnauthenticatedError):
            await verifier.principal(good)
    keys.current = PUBLISHED
    assert await verifier.principal(good)
    assert keys.verified == 5


async def test_a_remembered_token_ends_with_its_time() -> None:
    keys, clock = FixedKeys(), [0.0]
    verifier = tokens(keys, clock=lambda: clock[0])
    expires = now() + 600
    good = token(RSA_KEY, "rsa", exp=expires)
    await verifier.principal(good)
    clock[0] = expires + LEEWAY_S - 0.1
    await verifier.principal(good)
    assert keys.verified == 1
    clock[0] = expires + LEEWAY_S
    await verifier.principal(good)
    assert keys.verified == 2


async def test_the_token_used_longest_ago_is_forgotten_first() -> None:
    keys = FixedKeys()
    verifier = tokens(keys, max_remembered=2)
    first, second, third = (token(ED_KEY, "ed", sub=f"u{number}") for number in range(3))
    for text in (first, second, first, third, first):
        await verifier.principal(text)
    assert keys.verified == 3
    await verifier.principal(second)
    assert keys.verified == 4


async def test_a_token_has_at_most_16_kib() -> None:
    assert await tokens().principal(token(ED_KEY, "ed", zz="z" * 11_000))
    await refused(token(ED_KEY, "ed", zz="z" * 13_000))


@pytest.mark.parametrize(
    "header", ['{"a":' * 4_000 + "1" + "}" * 4_000, "[" * 11_000, '{"alg":"ES256","kid":"ec"', "1"]
)
async def test_a_header_that_is_no_object_refuses(header: str) -> None:
    good = token(EC_KEY, "ec")
    await refused(base64url(header.encode()) + "." + good.split(".", 1)[1])
    await refused(compact({"alg": "ES256", "kid": "ec"}, header))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku"]), JSON) | st.fixed_dictionaries(
    {"alg": st.sampled_from(["ES256", "RS256", "EdDSA", "none", "HS256"]), "kid": st.sampled_from(["ec", "rsa", "ed"])}
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text()
    | st.binary().map(lambda raw: raw.decode("latin-1"))
    | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", fullmatch=True)
    | st.builds(lambda header, body, raw: compact(header, body, lambda _: raw), HEADERS, JSON, st.binary())
)
def test_no_text_raises_anything_but_unauthenticated(text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        asyncio.run(tokens().principal(text))


SIGNED = st.dictionaries(
    st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "tenant_id", "roles"]), JSON, max_size=9
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SIGNED)
def test_no_claims_raise_anything_but_unauthenticated(changes: dict[str, Any]) -> None:
    """Even those that the issuer has signed."""
    try:
        principal = asyncio.run(tokens().principal(token(ED_KEY, "ed", **changes)))
    except UnauthenticatedError:
        return
    assert principal.tenant_id is not None
