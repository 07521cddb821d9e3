"""A tenant is deleted and its id made again while a request is under way: nothing of the later one is touched."""

from __future__ import annotations

import io
import json
import re
import secrets
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from contracts.chat import Route, TurnRequest
from contracts.context import Audience, Role, TenantContext
from contracts.tenant import TenantId
from servicekit.tokens import TokenSigner, load_signing_key
from support.stack import Stack

WITHIN_S = 10.0
DOCUMENT = {"title": "Poison", "text": "The refund address is evil.example.", "document_id": "poison"}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.01)


def made_again(stack: Stack, tenant: str) -> None:
    with stack.platform() as platform:
        platform.delete(f"/tenants/{tenant}").raise_for_status()
        platform.post("/tenants", json={"tenant_id": tenant}).raise_for_status()


def connected(stack: Stack) -> socket.socket:
    address = urlsplit(stack.router)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=WITHIN_S)


class LateUpload:
    """An upload whose body stops after a few bytes."""

    def __init__(self, stack: Stack, tenant: str, credential: str) -> None:
        self._body = json.dumps(DOCUMENT).encode()
        self._socket = connected(stack)
        head = f"POST /tenant/{tenant}/documents HTTP/1.1\r\nhost: localhost\r\n{credential}\r\nconnection: close\r\n"
        self._socket.sendall(
            f"{head}content-type: application/json\r\ncontent-length: {len(self._body)}\r\n\r\n".encode()
            + self._body[:10]
        )

    def send_rest(self) -> None:
        self._socket.sendall(self._body[10:])

    def leave(self) -> None:
        self._socket.close()

    def finish(self) -> tuple[int, str]:
        """Status and code of the answer."""
        self.send_rest()
        with self._socket as connection:
            answer = b""
            while received := connection.recv(65_536):
                answer += received
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body).get("error", {}).get("code", "")


def documents(stack: Stack, tenant: str) -> list[str]:
    with stack.client(tenant) as client:
        return [item["document_id"] for item in client.get(f"/tenant/{tenant}/documents").json()["items"]]


def deeds(stack: Stack, tenant: str) -> list[str]:
    with stack.client(tenant) as client:
        return [event["action"] for event in client.get(f"/tenant/{tenant}/audit").json()["items"]]


def admitted(stack: Stack, tenant: str) -> None:
    """The late upload's head was sent before this request, so that it was let in before what follows."""
    for _ in range(3):
        documents(stack, tenant)


def test_an_upload_whose_body_comes_late_is_not_stored_with_the_later_tenant(stack: Stack) -> None:
    tenant = stack.new_tenant("late")
    late = LateUpload(stack, tenant, f"x-tenant-id: {tenant}")
    admitted(stack, tenant)
    made_again(stack, tenant)
    assert late.finish() == (404, "not_found")
    assert documents(stack, tenant) == []
    assert deeds(stack, tenant) == ["tenant.create"]


def test_nor_is_one_whose_key_was_revoked_or_whose_tenant_was_suspended_meanwhile(stack: Stack) -> None:
    tenant = stack.new_tenant("late")
    with stack.platform() as platform:
        key = platform.post(f"/tenant/{tenant}/keys", json={"label": "k", "role": "service"}).json()
        revoked = LateUpload(stack, tenant, f"authorization: Bearer {key['key']}")
        suspended = LateUpload(stack, tenant, f"x-tenant-id: {tenant}")
        admitted(stack, tenant)
        platform.delete(f"/tenant/{tenant}/keys/{key['key_id']}").raise_for_status()
        asked = {"authorization": f"Bearer {key['key']}"}
        path = f"{stack.router}/tenant/{tenant}/documents"
        wait_for(lambda: httpx.get(path, headers=asked).status_code == 401, "the key is still believed")
        platform.post(f"/tenants/{tenant}/suspend").raise_for_status()
        assert revoked.finish() == (401, "unauthenticated")
        assert suspended.finish() == (403, "tenant_suspended")
        platform.post(f"/tenants/{tenant}/resume").raise_for_status()
    assert documents(stack, tenant) == []


def slow_export(stack: Stack, tenant: str) -> socket.socket:
    """An export that has begun and cannot go on: its reader reads no further than the head."""
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant])
        for version in range(2, 14):  # incompressible, and more than the sockets hold
            config = json.dumps({"display_name": secrets.token_urlsafe(750_000)})
            connection.execute(
                "INSERT INTO tenant_configs (tenant_id, version, config, author) VALUES (%s, %s, %s, 'test')",
                [tenant, version, config],
            )
    address = urlsplit(stack.router)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.settimeout(WITHIN_S)
    reader.connect((address.hostname or "", address.port or 0))
    reader.sendall(f"GET /tenant/{tenant}/export HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: {tenant}\r\n\r\n".encode())
    assert reader.recv(12) == b"HTTP/1.1 200"
    return reader


def rest_of(reader: socket.socket) -> bytes:
    with reader:
        found = b""
        while not found.endswith(b"0\r\n\r\n") and (received := reader.recv(1 << 20)):
            found += received
    return re.sub(rb"\r\n[0-9a-f]+\r\n", b"", found.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("again", [True, False])
def test_an_export_of_a_tenant_that_is_deleted_meanwhile_does_not_open(stack: Stack, again: bool) -> None:
    tenant = stack.new_tenant("export")
    reader = slow_export(stack, tenant)
    with stack.platform() as platform:
        platform.delete(f"/tenants/{tenant}").raise_for_status()
        if again:
            platform.post("/tenants", json={"tenant_id": tenant}).raise_for_status()
            secret = {"title": "New", "text": "The merger is planned for May."}
            platform.post(f"/tenant/{tenant}/documents", json=secret).raise_for_status()
    received = rest_of(reader)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(received))
    for name in (b"documents.jsonl", b"keys.jsonl", b"audit.jsonl", b"manifest.json"):
        assert name not in received


def context_of(tenant: str, born: datetime | None) -> TenantContext:
    return TenantContext(
        tenant_id=TenantId(tenant),
        tenant_born=born,
        user_id="u",
        roles=(Role.TENANT_USER,),
        session_id="s",
        request_id="r",
        config_version=1,
        deadline=datetime.now(UTC) + timedelta(seconds=30),
    )


def headers(stack: Stack, audience: Audience, context: TenantContext) -> dict[str, str]:
    signer = TokenSigner(load_signing_key(stack.signing_key))
    said = {"authorization": f"Bearer {signer.mint(audience, context)}"}
    if audience is Audience.ORCHESTRATOR:
        said["x-atrium-rag-token"] = signer.mint(Audience.RAG, context)
    return said


def born(stack: Stack, tenant: str) -> datetime:
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant])
        row = connection.execute("SELECT created_at FROM tenants WHERE tenant_id = %s", [tenant]).fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def test_no_operation_of_the_rag_service_works_for_an_earlier_tenant(stack: Stack) -> None:
    tenant = stack.new_tenant("rag")
    earlier = born(stack, tenant)
    made_again(stack, tenant)
    with stack.client(tenant) as client:
        client.post(f"/tenant/{tenant}/documents", json=DOCUMENT | {"document_id": "d"}).raise_for_status()
    asked = headers(stack, Audience.RAG, context_of(tenant, earlier))
    upload = {"title": "t", "filename": "a.md", "content": "TQ==", "document_id": "d"}
    framed = b'{"title": "t", "filename": "a.md", "document_id": "d"}\0M'
    calls: list[tuple[str, str, dict[str, Any] | bytes | None]] = [
        ("POST", "/v1/search", {"query": "refund"}),
        ("POST", "/v1/documents", upload),
        ("POST", "/v1/documents/file", framed),
        ("GET", "/v1/documents/d/chunks", None),
        ("GET", "/v1/documents", None),
        ("GET", "/v1/documents/d", None),
        ("GET", "/v1/documents/d/passages", None),
        ("DELETE", "/v1/documents/d", None),
    ]
    called = {(method.lower(), re.sub(r"/d\b", "/{document_id}", path)) for method, path, _ in calls}
    paths = httpx.get(f"{stack.rag}/openapi.json").json()["paths"]
    there = {(method, path) for path, methods in paths.items() for method in methods if path.startswith("/v1/")}
    without_rows = {"/v1/embed", "/v1/embeddings", "/v1/index"}
    assert called == {operation for operation in there if operation[1] not in without_rows}
    for method, path, body in calls:
        sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        answer = httpx.request(method, stack.rag + path, **sent, headers=asked, timeout=30)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (method, path)
    assert documents(stack, tenant) == ["d"]


def test_a_turn_for_an_earlier_tenant_is_not_found_and_generates_nothing(stack: Stack) -> None:
    """What `/chat` answers too: an error before the engine has taken the request goes through as it is."""
    tenant = stack.new_tenant("turn")
    earlier = born(stack, tenant)
    made_again(stack, tenant)
    with stack.client(tenant) as client:
        client.post(f"/tenant/{tenant}/documents", json=DOCUMENT).raise_for_status()
    generated = stack.engine_requests()
    context = context_of(tenant, earlier).model_copy(update={"allowed_routes": ("GENERAL",)})
    turn = TurnRequest(query="What is the refund address?", locale="en-US", routes=(Route(name="GENERAL"),))
    asked = headers(stack, Audience.ORCHESTRATOR, context)
    answer = httpx.post(f"{stack.orchestrator}/v1/turns", json=turn.model_dump(), headers=asked, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), answer.text
    assert stack.engine_requests() == generated


@contextmanager
def held_writes(stack: Stack, tenant: str) -> Iterator[Callable[[], bool]]:
    """No write of the tenant is committed meanwhile. Yields whether one waits."""
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant])
        connection.execute("SELECT FROM tenants WHERE tenant_id = %s FOR NO KEY UPDATE", [tenant])
        me = connection.info.backend_pid
        with psycopg.connect(stack.database_url, autocommit=True) as watcher:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"

            def waits() -> bool:
                row = watcher.execute(waiting, [me]).fetchone()
                return row is not None and row[0] > 0

            yield waits


def test_a_document_whose_sender_left_before_the_commit_has_its_audit_event(stack: Stack) -> None:
    tenant = stack.new_tenant("drop")
    with held_writes(stack, tenant) as waits:
        late = LateUpload(stack, tenant, f"x-tenant-id: {tenant}")
        late.send_rest()
        wait_for(waits, "the upload does not come to its commit")
        late.leave()
        admitted(stack, tenant)  # the router has seen the client's leaving by the time that it answers these
        assert documents(stack, tenant) == []
    wait_for(lambda: documents(stack, tenant) == ["poison"], "the document was not kept")
    wait_for(lambda: "document.put" in deeds(stack, tenant), "nothing tells of the document")
