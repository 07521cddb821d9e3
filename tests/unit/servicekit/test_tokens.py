"""A service token is believed only if the router signed it, for this callee, within the last minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.context import Audience, Role, TenantContext
from contracts.errors import UnauthenticatedError
from contracts.tenant import TenantId
from servicekit.tokens import (
    ISSUER,
    InvalidKeyError,
    TokenSigner,
    TokenVerifier,
    generate_signing_key,
    key_id,
    load_signing_key,
    load_verify_key,
    public_text,
)

KEY = Ed25519PrivateKey.generate()


def context() -> TenantContext:
    return TenantContext(
        tenant_id=TenantId("t1"),
        user_id="u1",
        roles=(Role.TENANT_USER,),
        session_id="s1",
        request_id="r1",
        config_version=3,
        deadline=datetime(2030, 1, 1, tzinfo=UTC),
        cache_salt="salt",
    )


def verifier(audience: Audience = Audience.RAG) -> TokenVerifier:
    return TokenVerifier(audience, [KEY.public_key()])


def forged(key: Any = KEY, algorithm: str = "EdDSA", **changes: Any) -> str:
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "aud": "rag",
        "iat": now,
        "exp": now + timedelta(seconds=60),
        "ctx": context().model_dump(mode="json"),
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id(KEY.public_key())})


def test_what_was_signed_is_what_is_read() -> None:
    assert verifier().verify(TokenSigner(KEY).mint(Audience.RAG, context())) == context()


def test_a_token_for_one_callee_is_refused_by_the_other() -> None:
    with pytest.raises(UnauthenticatedError):
        verifier().verify(TokenSigner(KEY).mint(Audience.ORCHESTRATOR, context()))


def test_a_token_is_good_for_a_minute() -> None:
    late = TokenSigner(KEY, now=lambda: datetime.now(UTC) - timedelta(seconds=61))
    with pytest.raises(UnauthenticatedError):
        verifier().verify(late.mint(Audience.RAG, context()))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "W10.e30.e30",  # a head that is no object
        "\u00e9.e30.e30",
        forged(Ed25519PrivateKey.generate()),
        forged("", algorithm="none"),
        forged(public_text(KEY), algorithm="HS256"),
        forged(iss="someone"),
        forged(aud=["rag", "orchestrator"]),
        forged(aud=None),
        forged(exp=None),
        forged(iat=None),
        forged(exp=datetime.now(UTC) + timedelta(hours=1)),
        forged(ctx=None),
        forged(ctx={"tenant_id": "T1"}),
        forged(ctx=context().model_dump(mode="json") | {"surprise": 1}),
    ],
)
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        verifier().verify(token)


def test_two_keys_are_valid_while_one_is_rotated() -> None:
    new = Ed25519PrivateKey.generate()
    both = TokenVerifier(Audience.RAG, [KEY.public_key(), new.public_key()])
    for key in (KEY, new):
        assert both.verify(TokenSigner(key).mint(Audience.RAG, context())).tenant_id == TenantId("t1")


def test_keys_travel_as_text() -> None:
    key = load_signing_key(generate_signing_key())
    assert load_verify_key(public_text(key)).public_bytes_raw() == key.public_key().public_bytes_raw()


# pragma: allowlist nextline secret
@pytest.mark.parametrize("text", ["", "changeme", "AAAA", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"])
def test_a_text_that_is_no_key_says_so(text: str) -> None:
    with pytest.raises(InvalidKeyError):
        load_signing_key(text)
