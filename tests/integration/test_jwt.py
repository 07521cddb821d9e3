"""Tokens at the real router, with an issuer on a real socket: whose is accepted, and what it then may say it is."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from observability.logging import REQUEST_LOGGER, JsonFormatter
from support.issuer import (
    AUDIENCE,
    EC_KEY,
    ED_KEY,
    ISSUER,
    RSA_KEY,
    Issuer,
    algorithm_of,
    claims,
    compact,
    running_issuer,
    token,
)
from support.server import served
from support.stack import PLATFORM_KEY, Stack, another_router
from support.telling import told

KEYS = {"rsa": RSA_KEY, "ec": EC_KEY, "ed": ED_KEY}


@dataclass(frozen=True)
class Site:
    """A router in the modes `jwt` and `api_key`, its issuer, and two tenants."""

    url: str
    issuer: Issuer
    a: str
    b: str

    def send(self, bearer: str, path: str = "/chat", **options: Any) -> httpx.Response:
        """`POST /chat`, unless told otherwise, by the holder of `bearer`."""
        headers = [("authorization", f"Bearer {bearer}"), *options.pop("headers", {}).items()]
        method = options.pop("method", "POST" if path == "/chat" else "GET")
        body = {"json": options.pop("json", {"query": "hello"})} if method == "POST" else {}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **body, **options)


def settings(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    values = {"jwks_url": issuer.jwks_url, "jwt_issuer": ISSUER, "jwt_audience": f"other,{AUDIENCE}"}
    return {"auth_mode": "jwt,api_key", **values, **changes}


@pytest.fixture(scope="module")
def site(stack: Stack, valkey_url: str) -> Iterator[Site]:
    with running_issuer() as issuer:
        issuer.publish(**KEYS)
        with served(another_router(stack, valkey_url, **settings(issuer))) as url:
            yield Site(url, issuer, stack.new_tenant("jwt-a"), stack.new_tenant("jwt-b"))


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("kid", KEYS)
def test_a_token_of_the_issuer_asks_for_its_tenant(site: Site, kid: str) -> None:
    answer = site.send(token(KEYS[kid], kid, tenant_id=site.a))
    assert answer.status_code == 200, answer.text
    assert answer.json()["tenant_id"] == site.a


def test_a_role_in_the_token_is_a_role_here(site: Site) -> None:
    config = f"/tenant/{site.a}/config"
    assert code(site.send(token(EC_KEY, "ec", tenant_id=site.a), config)) == (403, "forbidden")
    assert site.send(token(EC_KEY, "ec", tenant_id=site.a, roles=["tenant_admin"]), config).status_code == 200
    assert code(site.send(token(EC_KEY, "ec", tenant_id=site.a, roles=["platform_admin"]), "/tenants"))[0] == 403


def test_every_fault_reads_the_same(site: Site) -> None:
    good = claims(tenant_id=site.a)
    bad = [
        token(EC_KEY, "rsa", tenant_id=site.a),
        token(EC_KEY, "unknown", tenant_id=site.a),
        token(EC_KEY, "ec", tenant_id=site.a, aud="x"),
        token(EC_KEY, "ec", tenant_id=site.a, iss="x"),
        token(EC_KEY, "ec", tenant_id=site.a, exp=None),
        token(EC_KEY, "ec", {"crit": ["x"], "x": 1}, tenant_id=site.a),
        token(EC_KEY, "ec", tenant_id=None),
        compact({"alg": "none"}, good),
        compact({"alg": "HS256", "kid": "ec"}, good, lambda _: b"x" * 32),
        "a.b.c",
        "x" * 60_000,
        "a.b." + "x" * 60_000,
    ]
    answers = [site.send(text) for text in bad]
    assert {code(answer) for answer in answers} == {(401, "unauthenticated")}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    said = {answer.json()["error"]["message"] for answer in answers}
    assert said == {"the token is not valid", "the API key is not valid"}
    expired = site.send(token(EC_KEY, "ec", tenant_id=site.a, exp=int(time.time()) - 60))
    assert expired.json()["error"]["message"] == "the token has expired"


def test_another_tenant_named_beside_the_token_is_refused(site: Site) -> None:
    bearer = token(EC_KEY, "ec", tenant_id=site.a, roles=["tenant_admin"])
    assert code(site.send(bearer, headers={"x-tenant-id": site.b})) == (403, "tenant_mismatch")
    assert code(site.send(bearer, json={"query": "hello", "tenant_id": site.b})) == (403, "tenant_mismatch")
    for path in (f"/tenant/{site.b}/config", f"/tenant/{site.b}/documents", "/tenant/no-such-tenant/documents"):
        assert code(site.send(bearer, path)) == (404, "not_found")
        assert code(site.send(bearer, path, headers={"x-tenant-id": site.b})) == (403, "tenant_mismatch")
    named = {"json": {"query": "hello", "tenant_id": site.a}, "headers": {"x-tenant-id": site.a}}
    assert site.send(bearer, **named).status_code == 200


@pytest.mark.parametrize("name", ["X_Tenant_Id", "x_tenant-id", "X-Tenant_Id"])
def test_an_identity_header_in_disguise_is_refused(site: Site, name: str) -> None:
    bearer = token(EC_KEY, "ec", tenant_id=site.a)
    for value in (site.a, site.b, ""):
        assert code(site.send(bearer, headers={name: value})) == (422, "invalid_request")


def test_doubled_headers_are_refused_where_they_disagree(site: Site) -> None:
    bearer = ("authorization", f"Bearer {token(EC_KEY, 'ec', tenant_id=site.a)}")

    def sent(*headers: tuple[str, str]) -> httpx.Response:
        return httpx.post(f"{site.url}/chat", headers=list(headers), json={"query": "hello"}, timeout=30)

    assert sent(bearer, ("x-tenant-id", site.a), ("X-Tenant-Id", site.a)).status_code == 200
    assert code(sent(bearer, ("x-tenant-id", site.a), ("x-tenant-id", site.b))) == (403, "tenant_mismatch")
    assert code(sent(bearer, ("x-tenant-id", f"{site.a},{site.b}"))) == (422, "invalid_request")
    assert code(sent(bearer, ("x-tenant-id", f"{site.a}, {site.a}"))) == (422, "invalid_request")
    assert code(sent(bearer, bearer)) == (422, "invalid_request")
    assert code(sent(bearer, ("authorization", f"Bearer {PLATFORM_KEY}"))) == (422, "invalid_request")


def test_a_strange_host_changes_nothing(site: Site) -> None:
    bearer = token(EC_KEY, "ec", tenant_id=site.a)
    before = set(site.issuer.paths)
    for host in (f"{site.b}.example.com", "evil.example", "127.0.0.1:1", "localhost"):
        headers = {"host": host, "x-forwarded-host": host, "forwarded": f"host={host};for=127.0.0.1"}
        answer = site.send(bearer, headers=headers)
        assert (answer.status_code, answer.json()["tenant_id"]) == (200, site.a)
        assert httpx.post(f"{site.url}/chat", json={"query": "x"}, headers=headers).status_code == 401
    assert set(site.issuer.paths) == before


@pytest.mark.parametrize(
    "bearer", ["atr_'\" OR 1=1 --", 'atr_"', "atr_" + "x" * 65_536, "atr_", "atr_a.b.c", "Bearer atr_x"]
)
def test_a_strange_api_key_is_a_401(site: Site, bearer: str) -> None:
    assert code(site.send(bearer)) == (401, "unauthenticated")


@pytest.mark.parametrize("bearer", [b"atr_\x00", b"a.b.c\x00", b"\xff\xfe"])
def test_bytes_that_no_client_sends_reach_nobody(site: Site, bearer: bytes) -> None:
    where = urlsplit(site.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as raw:
        raw.sendall(
            b"GET /tenants HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer " + bearer + b"\r\n\r\n"
        )
        status = raw.makefile("rb").readline().split()[1]
    assert status in {b"400", b"401"}


def test_keys_and_tokens_stand_beside_each_other(stack: Stack, site: Site) -> None:
    with stack.platform() as platform:
        made = platform.post("/tenants", json={"tenant_id": f"{site.a}-2"}).json()
    assert site.send(made["admin_key"], f"/tenant/{site.a}-2/config").status_code == 200
    assert site.send(PLATFORM_KEY, f"/tenant/{site.a}/config").status_code == 200
    assert httpx.post(f"{site.url}/chat", json={"query": "x"}, headers={"x-tenant-id": site.a}).status_code == 401


def users_of(caplog: pytest.LogCaptureFixture, request_id: str) -> set[str]:
    """Whom the router and the orchestrator wrote a request down for; each writes just after its last byte."""
    until = time.monotonic() + 10
    while True:
        records = told(caplog, REQUEST_LOGGER)
        written = [json.loads(JsonFormatter("test").format(record)) for record in records]
        found = {entry["path"]: entry["user_id"] for entry in written if entry["request_id"] == request_id}
        if len(found) > 1 and "/chat" in found:
            return set(found.values())
        assert time.monotonic() < until, f"written so far: {found}"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("roles", "named", "user"),
    [
        ([], "somebody-else", "user-1"),
        ([], None, "user-1"),
        (["tenant_admin"], "somebody-else", "somebody-else"),
        (["tenant_admin"], None, "user-1"),
    ],
)
def test_a_user_is_whom_the_token_proves(
    site: Site, caplog: pytest.LogCaptureFixture, roles: list[str], named: str | None, user: str
) -> None:
    body = {"query": "hello", **({"user_id": named} if named else {})}
    with caplog.at_level(logging.INFO, REQUEST_LOGGER):
        answer = site.send(token(EC_KEY, "ec", tenant_id=site.a, roles=roles), json=body)
        assert answer.status_code == 200, answer.text
        assert users_of(caplog, answer.json()["request_id"]) == {user}


SHAPES = {
    "cognito": (
        {
            "jwt_tenant_claim": "custom:tenant_id",
            "jwt_roles_claim": "cognito:groups",
            "jwt_role_map": {"admins": "tenant_admin"},
        },
        lambda tenant: {"custom:tenant_id": tenant, "cognito:groups": ["admins"], "token_use": "id"},
        RSA_KEY,
    ),
    "auth0": (
        {"jwt_tenant_claim": "https://example.com/tenant_id", "jwt_roles_claim": "https://example.com/roles"},
        lambda tenant: {
            "https://example.com/tenant_id": tenant,
            "https://example.com/roles": ["tenant_admin"],
            "aud": [AUDIENCE, "https://issuer.example/userinfo"],
            "sub": "auth0|0123",
        },
        RSA_KEY,
    ),
    "supabase": (
        {"jwt_tenant_claim": "app_metadata.tenant_id", "jwt_roles_claim": "app_metadata.role"},
        lambda tenant: {
            "app_metadata": {"tenant_id": tenant, "role": "tenant_admin"},
            "user_metadata": {"tenant_id": "other"},
            "role": "authenticated",
        },
        EC_KEY,
    ),
    "keycloak": (
        {"jwt_roles_claim": "realm_access.roles"},
        lambda tenant: {
            "tenant_id": tenant,
            "realm_access": {"roles": ["offline_access", "tenant_admin"]},
            "aud": [AUDIENCE, "account"],
            "typ": "Bearer",
        },
        RSA_KEY,
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_issuers_shape_is_understood(stack: Stack, valkey_url: str, site: Site, shape: str) -> None:
    changes, said, key = SHAPES[shape]
    kid = next(name for name, candidate in KEYS.items() if candidate is key)
    bearer = token(key, kid, **{"tenant_id": None, **said(site.a)})
    with served(another_router(stack, valkey_url, **settings(site.issuer, **changes))) as url:
        allowed = httpx.get(f"{url}/tenant/{site.a}/config", headers={"authorization": f"Bearer {bearer}"})
    assert allowed.status_code == 200, (algorithm_of(key), allowed.text)


def test_an_operators_token_needs_a_map_that_says_so(stack: Stack, valkey_url: str, site: Site) -> None:
    changes = settings(site.issuer, jwt_role_map={"ops": "platform_admin"}, jwt_default_role="none")
    with served(another_router(stack, valkey_url, **changes)) as url:
        there = Site(url, site.issuer, site.a, site.b)
        operator = token(ED_KEY, "ed", tenant_id=None, roles="ops")
        assert there.send(operator, "/tenants").status_code == 200
        assert there.send(operator, f"/tenant/{site.b}/config").status_code == 200
        assert code(there.send(token(ED_KEY, "ed", tenant_id=site.a, roles="other"))) == (403, "forbidden")


def test_keys_rotate_without_a_restart(stack: Stack, valkey_url: str, site: Site) -> None:
    with running_issuer() as issuer:
        issuer.publish(old=EC_KEY)
        with served(another_router(stack, valkey_url, **settings(issuer, jwks_refresh_interval_s=3_600))) as url:
            there = Site(url, issuer, site.a, site.b)
            old, new = token(EC_KEY, "old", tenant_id=site.a), token(ED_KEY, "new", tenant_id=site.a)
            assert there.send(old).status_code == 200
            issuer.publish(new=ED_KEY)
            assert there.send(old).status_code == 200
            assert there.send(new).status_code == 200
            assert code(there.send(old)) == (401, "unauthenticated")  # remembered, but its key is gone
            for number in range(5):
                assert code(there.send(token(EC_KEY, f"unknown-{number}", tenant_id=site.a))) == (
                    401,
                    "unauthenticated",
                )
        assert issuer.fetches == 2


def test_without_the_issuer_tokens_are_503_and_keys_go_on(stack: Stack, valkey_url: str, site: Site) -> None:
    with running_issuer() as issuer, running_issuer() as elsewhere:
        elsewhere.publish(ec=EC_KEY)
        issuer.status, issuer.headers = 302, {"location": elsewhere.jwks_url}
        with served(another_router(stack, valkey_url, **settings(issuer, jwks_refresh_interval_s=3_600))) as url:
            there = Site(url, issuer, site.a, site.b)
            answer = there.send(token(EC_KEY, "ec", tenant_id=site.a))
            assert code(answer) == (503, "dependency_unavailable")
            assert answer.json()["error"]["details"] == {"dependency": "jwks"}
            assert answer.headers["retry-after"]
            assert there.send(PLATFORM_KEY, "/tenants").status_code == 200
            assert httpx.get(f"{url}/readyz").json()["dependencies"].get("jwks") is None
            assert httpx.get(f"{url}/readyz").status_code == 200
            metrics = httpx.get(f"{url}/metrics").text
        assert 'atrium_dependency_failure_total{dependency="jwks",reason="redirect"} 1.0' in metrics
        assert elsewhere.paths == []
