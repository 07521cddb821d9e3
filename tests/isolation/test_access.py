"""Every operation of the API, asked by everyone: who gets in is written here, not computed from the code."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import httpx
import pytest

from router.domain.access import ROUTES
from support.stack import Stack

ANYONE = {"anonymous", "user", "service", "admin", "other", "platform"}
MEMBERS = {"user", "service", "admin", "platform"}
WRITERS = {"service", "admin", "platform"}
ADMINS = {"admin", "platform"}
PLATFORM = {"platform"}

MAY = {
    "GET /healthz": ANYONE,
    "GET /readyz": ANYONE,
    "GET /metrics": ANYONE,
    "POST /chat": {*MEMBERS, "other"},  # for its own tenant: the path names none
    "POST /v1/chat/completions": {*MEMBERS, "other"},
    "GET /v1/models": {*MEMBERS, "other"},
    "GET /v1/models/{model}": {*MEMBERS, "other"},
    "POST /tenant/{tenant_id}/search": MEMBERS,
    "GET /tenant/{tenant_id}/documents": MEMBERS,
    "GET /tenant/{tenant_id}/documents/{document_id}": MEMBERS,
    "GET /tenant/{tenant_id}/documents/{document_id}/chunks": MEMBERS,
    "POST /tenant/{tenant_id}/documents": WRITERS,
    "DELETE /tenant/{tenant_id}/documents/{document_id}": WRITERS,
    "GET /tenant/{tenant_id}/config": ADMINS,
    "PUT /tenant/{tenant_id}/config": ADMINS,
    "PATCH /tenant/{tenant_id}/config": ADMINS,
    "GET /tenant/{tenant_id}/config/versions": ADMINS,
    "GET /tenant/{tenant_id}/config/versions/{version}": ADMINS,
    "POST /tenant/{tenant_id}/config/rollback": ADMINS,
    "POST /tenant/{tenant_id}/config/dry-run": ADMINS,
    "GET /tenant/{tenant_id}/keys": ADMINS,
    "POST /tenant/{tenant_id}/keys": ADMINS,
    "POST /tenant/{tenant_id}/keys/{key_id}/rotate": ADMINS,
    "DELETE /tenant/{tenant_id}/keys/{key_id}": ADMINS,
    "GET /tenant/{tenant_id}/limits": MEMBERS,
    "GET /tenant/{tenant_id}/audit": ADMINS,
    "GET /tenant/{tenant_id}/export": ADMINS,
    "GET /tenant/{tenant_id}/usage": ADMINS,
    "GET /tenant/{tenant_id}/invoice": ADMINS,
    "GET /tenant/{tenant_id}/sessions": ADMINS,  # and a user of whom the credential proves who it is: test_sessions
    "DELETE /tenant/{tenant_id}/sessions": ADMINS,
    "GET /tenant/{tenant_id}/sessions/{session_id}": ADMINS,
    "DELETE /tenant/{tenant_id}/sessions/{session_id}": ADMINS,
    "GET /tenant/{tenant_id}/metrics": ADMINS,
    "GET /tenants": PLATFORM,
    "POST /tenants": PLATFORM,
    "DELETE /tenants/{tenant_id}": PLATFORM,
    "POST /tenants/{tenant_id}/suspend": PLATFORM,
    "POST /tenants/{tenant_id}/resume": PLATFORM,
    "GET /keys": PLATFORM,
    "POST /keys": PLATFORM,
    "POST /keys/{key_id}/rotate": PLATFORM,
    "DELETE /keys/{key_id}": PLATFORM,
    "GET /audit": PLATFORM,
    "GET /analytics": PLATFORM,
    "GET /prices": PLATFORM,
    "POST /prices": PLATFORM,
}


_NOTHING = {"session_id": "none", "document_id": "none", "key_id": "none", "version": "1", "model": "atrium"}
"""What paths name where a test does not say it."""


@dataclass(frozen=True)
class World:
    """A tenant with a key of each role, another tenant's admin, and nobody."""

    stack: Stack
    tenant: str
    headers: dict[str, dict[str, str]]

    def ask(self, who: str, operation: str, **values: str) -> httpx.Response:
        method, path = operation.split(" ")
        known = {"tenant_id": self.tenant, **_NOTHING, **values}
        body = {} if method in {"POST", "PUT", "PATCH"} else None
        return httpx.request(
            method, self.stack.router + path.format(**known), headers=self.headers[who], json=body, timeout=30
        )


@pytest.fixture(scope="module")
def world(stack: Stack) -> World:
    tenant, other = stack.new_tenant("walk"), stack.new_tenant("other")
    with stack.platform() as platform:

        def key(of: str, role: str) -> dict[str, str]:
            made = platform.post(f"/tenant/{of}/keys", json={"label": role, "role": role}).json()
            return {"authorization": f"Bearer {made['key']}"}

        return World(
            stack,
            tenant,
            {
                "anonymous": {},
                "user": key(tenant, "tenant_user"),
                "service": key(tenant, "service"),
                "admin": key(tenant, "tenant_admin"),
                "other": key(other, "tenant_admin"),
                "platform": dict(platform.headers),
            },
        )


def operations(stack: Stack) -> set[str]:
    with stack.client() as client:
        described = client.get("/openapi.json").json()
    return {f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item}


def test_every_operation_there_is_has_an_entry_in_both_tables(stack: Stack) -> None:
    assert operations(stack) == set(MAY) == {f"{method} {path}" for method, path in ROUTES}


@pytest.mark.parametrize("operation", sorted(set(MAY) - {"DELETE /tenants/{tenant_id}"}))
@pytest.mark.parametrize("who", sorted(ANYONE))
def test_who_gets_in(world: World, operation: str, who: str) -> None:
    answer = world.ask(who, operation)
    if answer.is_success and operation == "POST /tenants/{tenant_id}/suspend":
        world.ask(who, "POST /tenants/{tenant_id}/resume")
    error = answer.json()["error"] if answer.status_code >= 400 else {}
    code = error.get("atrium", error).get("code", "")  # as OpenAI tells it, where the path is of its API
    if who in MAY[operation]:
        assert code not in {"unauthenticated", "forbidden", "tenant_mismatch"}, answer.text
        assert (code != "not_found") or "tenant" not in answer.json()["error"]["message"], answer.text
    elif who == "anonymous":
        assert (answer.status_code, code) == (401, "unauthenticated")
    elif who == "other" and operation.split(" ")[1].startswith("/tenant/"):
        assert (answer.status_code, code) == (404, "not_found")
    else:
        assert (answer.status_code, code) == (403, "forbidden")


@pytest.mark.parametrize("who", sorted(ANYONE - PLATFORM))
def test_only_the_platform_deletes_a_tenant(world: World, who: str) -> None:
    assert world.ask(who, "DELETE /tenants/{tenant_id}").status_code in {401, 403}
    assert world.ask("admin", "GET /tenant/{tenant_id}/config").status_code == 200


@pytest.mark.parametrize("operation", sorted(name for name in MAY if " /tenant/" in name))
def test_another_tenants_resource_is_the_same_404_as_a_missing_one(world: World, operation: str) -> None:
    theirs = world.ask("other", operation)
    nobodys = world.ask("other", operation, tenant_id=f"nobody-{secrets.token_hex(4)}")
    unlike = {"request_id"}
    assert theirs.status_code == nobodys.status_code == 404
    assert {k: v for k, v in theirs.json()["error"].items() if k not in unlike} == {
        k: v for k, v in nobodys.json()["error"].items() if k not in unlike
    }
    assert set(theirs.headers) == set(nobodys.headers)


@pytest.mark.parametrize(
    "tenant_id", ["T1", "a_b", "-a", "a-", "a" * 64, "a:b", "a*", "{a}", "%25", "a%00", "%20", "ä"]
)
@pytest.mark.parametrize("operation", ["GET /tenant/{tenant_id}/config", "DELETE /tenants/{tenant_id}"])
def test_what_is_no_tenant_id_is_422_before_anything_is_asked(world: World, operation: str, tenant_id: str) -> None:
    for who in ("anonymous", "admin", "platform"):
        assert world.ask(who, operation, tenant_id=tenant_id).status_code == 422


@pytest.mark.parametrize(
    "path",
    ["/tenant/{own}/../{other}/config", "/tenant/{own}/%2e%2e/{other}/config", "/tenant/{own}%2f..%2f{other}/config",
     "/tenant/{other}/../{own}/../{other}/config", "//tenant/{other}/config", "/tenant//{other}/config",
     "/tenant/{other};/config", "/TENANT/{other}/config", "/tenant/{other}/config/"],
)  # fmt: skip
def test_no_spelling_of_a_path_leads_to_another_tenant(world: World, path: str) -> None:
    other = world.stack.new_tenant("spelled")
    target = path.format(own=world.tenant, other=other)
    answer = httpx.get(world.stack.router + target, headers=world.headers["admin"], timeout=30)
    assert answer.status_code in {404, 422}, answer.text


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"x-forwarded-host": "evil.example"}, {"x-original-url": "/tenants"},
     {"x-http-method-override": "DELETE"}, {"forwarded": "for=127.0.0.1"}],
)  # fmt: skip
def test_no_header_that_a_proxy_might_believe_changes_who_asks(world: World, headers: dict[str, str]) -> None:
    url = f"{world.stack.router}/tenant/{world.tenant}/config"
    assert httpx.get(url, headers={**world.headers["user"], **headers}, timeout=30).status_code == 403
    assert httpx.get(url, headers={**world.headers["admin"], **headers}, timeout=30).status_code == 200


def test_a_page_whose_name_was_made_to_point_here_is_not_believed(world: World) -> None:
    url = f"{world.stack.router}/tenant/{world.tenant}/config"
    for host, status in (
        ("evil.example:8080", 401),
        ("evil.", 401),
        ("x", 200),
        ("localhost", 200),
        ("[::1]:8080", 200),
        ("127.0.0.1.nip.io", 401),
    ):
        answer = httpx.get(url, headers={"x-tenant-id": world.tenant, "host": host}, timeout=30)
        assert answer.status_code == status, host


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-forwarded-host", "via"])
def test_what_a_proxy_passes_on_is_not_from_here(world: World, header: str) -> None:
    url = f"{world.stack.router}/tenant/{world.tenant}/config"
    answer = httpx.get(url, headers={"x-tenant-id": world.tenant, header: "127.0.0.1"}, timeout=30)
    assert answer.status_code == 401


def test_a_strangers_attempts_do_not_stand_in_a_tenants_metrics(world: World) -> None:
    made_up = f"made-up-{secrets.token_hex(4)}"
    world.ask("other", "GET /tenant/{tenant_id}/config", tenant_id=made_up)
    httpx.get(f"{world.stack.router}/tenant/{made_up}/config", headers={"x-tenant-id": made_up}, timeout=30)
    assert made_up not in httpx.get(f"{world.stack.router}/metrics", timeout=30).text


def test_the_description_says_which_credentials_there_are(world: World) -> None:
    described = httpx.get(f"{world.stack.router}/openapi.json", timeout=30).json()
    assert set(described["components"]["securitySchemes"]) == {"bearer", "tenant"}
    assert described["paths"]["/chat"]["post"]["security"] == [{"bearer": []}, {"tenant": []}]
    assert "security" not in described["paths"]["/healthz"]["get"]


def test_names_that_share_letters_are_strangers(stack: Stack) -> None:
    mark = secrets.token_hex(3)
    names = [f"{mark}{suffix}" for suffix in ("", "a", "aa", "a-b", "ab", "1", "12")]
    with stack.platform() as platform:
        for name in names:
            platform.post("/tenants", json={"tenant_id": name}).raise_for_status()
    for name in names:
        with stack.client(name) as client:
            client.post(f"/tenant/{name}/documents", json={"title": name, "text": f"This belongs to {name}."})
            client.post(f"/tenant/{name}/keys", json={"label": name, "role": "tenant_user"})
    for name in names:
        with stack.client(name) as client:
            documents = client.get(f"/tenant/{name}/documents").json()["items"]
            keys = client.get(f"/tenant/{name}/keys").json()["items"]
            audit = client.get(f"/tenant/{name}/audit").json()["items"]
            found = client.post(f"/tenant/{name}/search", json={"query": "belongs", "k": 50}).json()["passages"]
            assert [item["title"] for item in documents] == [name]
            assert [item["label"] for item in keys] == ["first admin key", name]
            assert {item["tenant_id"] for item in audit} == {name}
            assert [passage["title"] for passage in found] == [name]
    with stack.platform() as platform:
        receipt = platform.delete(f"/tenants/{names[1]}").json()
        assert receipt["removed"]["postgres.documents"] == 1
    for name in names[2:]:
        with stack.client(name) as client:
            assert len(client.get(f"/tenant/{name}/documents").json()["items"]) == 1
