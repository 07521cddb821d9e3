"""Of an issuer's key set only keys that may sign a token are read, and each has one algorithm."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from router.domain.signing_keys import read_key_set
from support.issuer import EC_KEY, ED_KEY, RSA_KEY, jwk, key_set

SHORT = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505  the length under test
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1())
SECRET = {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "kid": "k"}
PRIVATE = {**RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True), "kid": "k"}
ED448 = {**OKPAlgorithm.to_jwk(Ed448PrivateKey.generate().public_key(), as_dict=True), "kid": "k"}


def test_the_key_decides_its_algorithm() -> None:
    found = read_key_set(key_set(jwk(RSA_KEY, "r"), jwk(EC_KEY, "e", alg="ES256"), jwk(ED_KEY, "o", use="sig")))
    assert {(key.kid, key.algorithm) for key in found.keys} == {("r", "RS256"), ("e", "ES256"), ("o", "EdDSA")}


@pytest.mark.parametrize(
    "unusable",
    [
        SECRET,
        {**SECRET, "alg": "HS256", "use": "sig"},
        PRIVATE,
        jwk(RSA_KEY, "k") | {"d": PRIVATE["d"]},
        ED448,
        jwk(RSA_KEY, "k", use="enc", alg="RSA-OAEP"),
        jwk(RSA_KEY, "k", use="enc"),
        jwk(RSA_KEY, "k", key_ops=["encrypt"]),
        jwk(RSA_KEY, "k", alg="HS256"),
        jwk(RSA_KEY, "k", alg="RS512"),
        jwk(RSA_KEY, "k", alg="none"),
        jwk(RSA_KEY, "k") | {"kid": 7},
        jwk(RSA_KEY, "k") | {"n": "!!"},
        jwk(RSA_KEY, "k") | {"n": 3},
        jwk(EC_KEY, "k") | {"x": "AAAA"},
        jwk(EC_KEY, "k") | {"crv": "P-384"},
        jwk(ED_KEY, "k") | {"x": ""},
        jwk(SHORT, "k"),
        jwk(OTHER_CURVE, "k"),
        {"kty": "RSA", "kid": "k"},
        {},
        [],
        None,
        "key",
    ],
)
def test_what_cannot_sign_a_token_is_left_out_and_spoils_nothing(unusable: Any) -> None:
    body = json.dumps({"keys": [unusable, jwk(EC_KEY, "good")]}).encode()
    assert {key.kid for key in read_key_set(body).keys} == {"good"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": {}}', b"<html>", b"\xff", b"[" * 10_000])
def test_what_is_no_key_set_says_so(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any: the caller calls it malformed
        read_key_set(body)


def test_a_token_without_kid_means_a_key_only_where_there_is_no_choice() -> None:
    one = read_key_set(key_set(jwk(RSA_KEY, "r"), jwk(EC_KEY, "e")))
    assert (found := one.find(None, "ES256")) is not None
    assert found.kid == "e"
    assert one.find(None, "EdDSA") is None
    two = read_key_set(key_set(jwk(EC_KEY, "e"), jwk(ec.generate_private_key(ec.SECP256R1()), "f")))
    assert two.find(None, "ES256") is None


def test_two_keys_with_one_name_are_told_apart_by_algorithm_or_not_at_all() -> None:
    mixed = read_key_set(key_set(jwk(RSA_KEY, "k"), jwk(EC_KEY, "k")))
    assert (found := mixed.find("k", "RS256")) is not None
    assert found.algorithm == "RS256"
    twice = read_key_set(key_set(jwk(EC_KEY, "k"), jwk(ec.generate_private_key(ec.SECP256R1()), "k")))
    assert twice.find("k", "ES256") is None


def test_the_same_key_read_twice_is_the_same_key() -> None:
    body = key_set(jwk(RSA_KEY, "r"))
    [key] = read_key_set(body).keys
    assert key in read_key_set(body)
    assert key not in read_key_set(key_set(jwk(RSA_KEY, "renamed")))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "use"]), inner | st.sampled_from(["RSA", "EC", "OKP"])
)))  # fmt: skip
def test_no_content_of_a_key_set_raises(item: Any) -> None:
    assert read_key_set(json.dumps({"keys": [item]}).encode()).find("x", "RS256") is None
