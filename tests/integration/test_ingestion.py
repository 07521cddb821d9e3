"""Files over real sockets: large ones become documents behind the answer, hostile ones hurt nobody, and a service
that is killed goes on where it was."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from contracts.context import Audience, Role, TenantContext
from contracts.tenant import TenantId
from servicekit.tokens import TokenSigner, generate_signing_key, load_signing_key, public_text
from support.command import run_atrium
from support.server import free_port
from support.stack import PLATFORM_KEY, Stack

SRC = Path(__file__).parents[2] / "src"
LARGE = "\n\n".join(f"## Part {number}\n\n" + f"The price of item {number} is low. " * 20 for number in range(500))
HOSTILE = {
    "deep.html": b"<div>" * 50_000,
    "deep.json": b"[" * 200_000,
    "wide.csv": b"," * 200_000,
    "liar.pdf": b"\x89PNG\r\n\x1a\n" + b"\x00" * 999,
    "broken.pdf": b"%PDF-1.7\n" + b"<<" * 100_000,
    "broken.docx": b"PK\x03\x04" + b"\x00" * 5_000,
    "nul.txt": b"a\x00b",
}


def until(what: Callable[[], Any], seconds: float = 90) -> Any:
    """What it gives, once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def uploaded(client: httpx.Client, tenant: str, name: str, content: bytes, **fields: str) -> httpx.Response:
    return client.post(f"/tenant/{tenant}/documents", files={"file": (name, content)}, data=fields)


def state_of(client: httpx.Client, tenant: str, document_id: str) -> dict[str, Any]:
    answer = client.get(f"/tenant/{tenant}/documents/{document_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(client: httpx.Client, tenant: str, document_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = state_of(client, tenant, document_id)
        return found if found["state"] in {"ready", "failed"} else None

    found: dict[str, Any] = until(look)
    return found


def test_hostile_files_are_refused_one_by_one_while_searches_go_on(stack: Stack) -> None:
    tenant, other = stack.new_tenant("hostile"), stack.new_tenant("calm")
    with stack.client(tenant) as client, stack.client(other) as calm:
        assert uploaded(calm, other, "note.md", b"# Milk\n\nMilk costs one euro.").status_code == 201
        files = [("file", (name, content)) for name, content in HOSTILE.items()]
        files.append(("file", ("good.csv", b"name,price\nmilk,1\n")))
        batch = client.build_request("POST", f"/tenant/{tenant}/documents", files=files)
        with ThreadPoolExecutor(1) as thread:
            sending = thread.submit(client.send, batch)
            searches = 0
            while not sending.done() or not searches:
                found = calm.post(f"/tenant/{other}/search", json={"query": "milk"})
                assert found.status_code == 200
                assert [passage["text"] for passage in found.json()["passages"]]
                searches += 1
            answer = sending.result()
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert [item["filename"] for item in items] == [*HOSTILE, "good.csv"]
        for item in items[:-1]:
            assert (item["state"], item["document_id"]) == ("failed", None)
            assert item["error"]["code"] == "invalid_request"
            assert len(item["error"]["message"]) > 10
        assert (items[-1]["state"], items[-1]["chunks"], items[-1]["error"]) == ("ready", 1, None)
        listed = client.get(f"/tenant/{tenant}/documents").json()["items"]
        assert [item["filename"] for item in listed] == ["good.csv"]


def test_a_large_file_is_answered_202_and_becomes_a_document_with_headings(stack: Stack) -> None:
    tenant = stack.new_tenant("large")
    page = f"<html><body><h1>Prices</h1>{'<p>Milk costs one euro here. </p>' * 9_000}</body></html>"
    with stack.client(tenant) as client:
        answer = uploaded(client, tenant, "p.html", page.encode(), document_id="d", metadata='{"source": "web"}')
        assert (answer.status_code, answer.json()) == (
            202,
            {"document_id": "d", "state": "queued", "chunks": 0, "seq": 0},
        )
        waiting = client.get(f"/tenant/{tenant}/documents?state=ready").json()["items"]
        assert waiting == []
        assert state_of(client, tenant, "d")["metadata"] == {"source": "web"}
        assert client.delete(f"/tenant/{tenant}/documents/d").status_code == 204
        assert client.get(f"/tenant/{tenant}/documents/d").status_code == 404
        bad = uploaded(client, tenant, "p.html", b"<div>" * 100_000, document_id="bad")
        assert bad.status_code == 202
        assert "nested deeper" in ended(client, tenant, "bad")["error"]
        assert client.get(f"/tenant/{tenant}/documents?state=failed").json()["items"][0]["document_id"] == "bad"
        small = uploaded(client, tenant, "s.html", b"<h1>Prices</h1><h2>Milk</h2><p>One euro.</p>", document_id="s")
        assert small.status_code == 201
        chunks = client.get(f"/tenant/{tenant}/documents/s/chunks").json()
        assert [item["text"] for item in chunks["items"]] == ["Prices\n\nMilk\n\nOne euro."]
        assert chunks["next"] is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"metadata": "["}, "metadata"),
        ({"metadata": "[]"}, "metadata"),
        ({"document_id": "../x"}, "document_id"),
        ({"other": "x"}, "unknown form field"),
    ],
)
def test_a_form_that_says_something_wrong_is_refused(stack: Stack, fields: dict[str, str], reason: str) -> None:
    tenant = stack.new_tenant("form")
    with stack.client(tenant) as client:
        answer = uploaded(client, tenant, "a.txt", b"text", **fields)
        assert answer.status_code == 422
        assert reason in answer.json()["error"]["message"]


SIGNING_KEY = generate_signing_key()
_SERVICE = """
import asyncio
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
import rag.job_runner
import rag.main
from rag.adapters.hash_embedder import HashEmbedder
from servicekit.server import serve

class Slow(HashEmbedder):
    async def embed(self, texts, **_):
        await asyncio.sleep(1)
        return await super().embed(texts)

rag.job_runner.LEASE, rag.job_runner.RENEW_S = timedelta(seconds=3), 0.5

@asynccontextmanager
async def open_embedder(source, **_):
    yield Slow()

rag.main.open_embedder = open_embedder
from rag.settings import Settings
settings = Settings()
serve(rag.main.create_app(settings), settings, host="127.0.0.1", port=int(sys.argv[1]))
"""


class Killable:
    """A replica as a process of its own, with an embedder that takes its time."""

    def __init__(self, database_url: str) -> None:
        self.port = free_port()
        environment = {
            **os.environ,
            "PYTHONPATH": str(SRC),
            "DATABASE_URL": database_url,
            "SERVICE_VERIFY_KEYS": public_text(load_signing_key(SIGNING_KEY)),
        }
        self.process = subprocess.Popen([sys.executable, "-c", _SERVICE, str(self.port)], env=environment)
        self.url = f"http://127.0.0.1:{self.port}"
        until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the service ended"
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def workers_of(pid: int) -> set[int]:
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.add(int(folder.name))
    return found


def caller(replica: Killable, tenant: str) -> httpx.Client:
    """What the router is to the service."""
    context = TenantContext(
        tenant_id=TenantId(tenant),
        user_id="u1",
        roles=(Role.TENANT_USER,),
        session_id="s1",
        request_id="r1",
        config_version=1,
        deadline=datetime.now(UTC) + timedelta(seconds=100),
    )
    token = TokenSigner(load_signing_key(SIGNING_KEY)).mint(Audience.RAG, context)
    return httpx.Client(base_url=replica.url, headers={"authorization": f"Bearer {token}"}, timeout=30)


def parts_of(database_url: str, tenant: str) -> int:
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
        row = connection.execute("SELECT count(*) FROM ingest_parts").fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.slow
def test_a_service_killed_in_the_middle_is_followed_by_one_that_goes_on(database_url: str) -> None:
    tenant = f"k-{secrets.token_hex(6)}"
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
        connection.execute("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (%s, 'basic', 1)", (tenant,))
    first = Killable(database_url)
    try:
        with caller(first, tenant) as client:
            content = base64.b64encode(LARGE.encode()).decode()
            body = {"title": "Book", "filename": "book.md", "content": content, "document_id": "d"}
            assert client.post("/v1/documents", json=body).status_code == 202
            until(lambda: client.get("/v1/documents/d").json()["progress"]["done"])
            assert client.get("/v1/documents/d/chunks").json()["items"] == []
        workers = workers_of(first.process.pid)
        assert workers
    finally:
        first.kill()
    assert parts_of(database_url, tenant) > 0
    until(lambda: not any(Path(f"/proc/{pid}/environ").exists() for pid in workers))
    second = Killable(database_url)
    try:
        with caller(second, tenant) as client:
            info = until(lambda: (found := client.get("/v1/documents/d").json())["state"] == "ready" and found)
            assert info["chunks"] == 500
            last = client.get(f"/v1/documents/d/chunks?after={info['chunks'] - 2}").json()
            assert [item["ordinal"] for item in last["items"]] == [info["chunks"] - 1]
            item = last["items"][0]
            assert LARGE[item["start"] : item["end"]] == item["text"]
        assert parts_of(database_url, tenant) == 0
    finally:
        second.kill()


def test_the_command_waits_for_large_files_and_says_of_each_how_it_ended(stack: Stack, tmp_path: Path) -> None:
    tenant = stack.new_tenant("command")
    note, deep, huge = tmp_path / "note.html", tmp_path / "deep.html", tmp_path / "book.csv"
    note.write_bytes(b"<p>Milk costs one euro.</p>")
    deep.write_bytes(b"<div>" * 100_000)
    huge.write_bytes(b"name,price\n" + b" ,\n" * 200_000 + b"milk,1\n")
    files = [str(file) for file in (note, deep, huge)]
    done = run_atrium("ingest", "--tenant", tenant, *files, ATRIUM_URL=stack.router, ATRIUM_KEY=PLATFORM_KEY)
    assert done.code == 1
    said = done.out + done.err
    assert "nested deeper" in said
    assert "1 of 3 files failed" in said
    assert said.count("✓") == 2
    with stack.client(tenant) as client:
        items = client.get(f"/tenant/{tenant}/documents?state=ready").json()["items"]
    assert sorted((item["filename"], item["chunks"]) for item in items) == [("book.csv", 1), ("note.html", 1)]
