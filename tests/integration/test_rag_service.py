"""The RAG service as it is run: uvicorn, real PostgreSQL, the real embedding model, signed tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

from contracts.context import Audience, Role, TenantContext
from contracts.retrieval import MAX_DOCUMENT_BYTES
from contracts.tenant import TenantId
from rag.adapters.rerankers import CrossEncoderReranker
from rag.main import create_app
from rag.settings import Settings
from servicekit.tokens import TokenSigner, generate_signing_key, load_signing_key, public_text
from support.postgres import Addresses
from support.server import served
from support.tiny_model import make_tiny_cross_encoder

SIGNING_KEY = generate_signing_key()
MILK = "# Prices\n\nA litre of milk costs 1.19 euro at the corner shop.\n\n# Hours\n\nThe shop opens at eight."
SPACE = "The telescope was pointed at Saturn, whose rings are made of ice and dust."


class Caller:
    """What the router is to the service: it signs for a tenant and calls."""

    def __init__(self, base_url: str, tenant: str, *, signing_key: str = SIGNING_KEY) -> None:
        self.tenant = tenant
        self._signing_key = signing_key
        self.http = httpx.Client(base_url=base_url, timeout=60, headers=self.headers())

    def context(self, *, seconds: float = 50) -> TenantContext:
        return TenantContext(
            tenant_id=TenantId(self.tenant),
            user_id="u1",
            roles=(Role.TENANT_USER,),
            session_id="s1",
            request_id=secrets.token_hex(8),
            config_version=1,
            deadline=datetime.now(UTC) + timedelta(seconds=seconds),
        )

    def headers(
        self, *, audience: Audience = Audience.RAG, ago: timedelta = timedelta(0), seconds: float = 50
    ) -> dict[str, str]:
        signer = TokenSigner(load_signing_key(self._signing_key), now=lambda: datetime.now(UTC) - ago)
        return {"authorization": f"Bearer {signer.mint(audience, self.context(seconds=seconds))}"}

    def upload(self, text: str | bytes, **fields: Any) -> httpx.Response:
        content = text.encode() if isinstance(text, str) else text
        body = {"title": "A note", "filename": "note.md", "content": base64.b64encode(content).decode()}
        return self.http.post("/v1/documents", json=body | fields)

    def search(self, query: str, **fields: Any) -> list[dict[str, Any]]:
        answer = self.http.post("/v1/search", json={"query": query, "k": 100} | fields)
        assert answer.status_code == 200, answer.text
        passages: list[dict[str, Any]] = answer.json()["passages"]
        return passages


Connect = Callable[..., Caller]


@contextmanager
def running_service(database_url: str, **settings: Any) -> Iterator[str]:
    trusted = public_text(load_signing_key(SIGNING_KEY))
    with served(
        create_app(
            Settings(database_url=database_url, service_verify_keys=trusted, metrics_top_tenants=1_000, **settings)
        )
    ) as base_url:
        yield base_url


@pytest.fixture(scope="module")
def service(database_url: str) -> Iterator[str]:
    with running_service(database_url) as base_url:
        yield base_url


def new_tenant(database_url: str) -> str:
    tenant = f"r-{secrets.token_hex(6)}"
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
        connection.execute("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (%s, 'basic', 1)", (tenant,))
    return tenant


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes callers, whose connections end with the test."""
    with ExitStack() as stack:

        def connected(base_url: str, tenant: str, **options: Any) -> Caller:
            caller = Caller(base_url, tenant, **options)
            stack.enter_context(caller.http)
            return caller

        yield connected


@pytest.fixture
def caller(service: str, database_url: str, connect: Connect) -> Caller:
    return connect(service, new_tenant(database_url))


@pytest.fixture
def other(service: str, database_url: str, connect: Connect) -> Caller:
    return connect(service, new_tenant(database_url))


def test_a_document_is_found_listed_kept_over_a_restart_and_gone_when_deleted(
    database_url: str, connect: Connect
) -> None:
    tenant = new_tenant(database_url)
    with running_service(database_url) as base_url:
        caller = connect(base_url, tenant)
        receipts = [caller.upload(text, title=title) for title, text in (("Shop", MILK), ("Space", SPACE))]
        assert [receipt.status_code for receipt in receipts] == [201, 201]
        milk, space = (receipt.json() for receipt in receipts)
        assert (milk["state"], milk["seq"], space["seq"]) == ("ready", 1, 2)
        before = caller.search("How much is a litre of milk?", min_seq=2)
    with running_service(database_url) as base_url:
        caller = connect(base_url, tenant)
        passages = caller.search("How much is a litre of milk?", min_seq=2)
        assert passages == before
        best = passages[0]
        assert "1.19 euro" in best["text"]
        assert (best["document_id"], best["title"]) == (milk["document_id"], "Shop")
        assert MILK[best["start"] : best["end"]] == best["text"]
        assert best["score"] > 0.4 > passages[-1]["score"]
        listed = caller.http.get("/v1/documents").json()
        assert {item["title"]: item["chunks"] for item in listed["items"]} == {
            "Shop": milk["chunks"],
            "Space": space["chunks"],
        }
        path = f"/v1/documents/{milk['document_id']}"
        assert caller.http.get(path).json()["bytes"] == len(MILK)
        assert caller.http.delete(path).status_code == 204
        assert {passage["title"] for passage in caller.search("How much is a litre of milk?")} == {"Space"}
        assert caller.http.get(path).status_code == caller.http.delete(path).status_code == 404


def test_two_tenants_who_ask_the_same_never_see_each_others(caller: Caller, other: Caller) -> None:
    mine = caller.upload(MILK, document_id="shared-name").json()
    caller.upload("Our secret ingredient is cardamom.", document_id="secret")
    other.upload(SPACE, document_id="shared-name")
    for query in ("How much is milk?", "Saturn's rings", "secret ingredient", "*"):
        own = {passage["text"] for passage in caller.search(query)}
        theirs = {passage["text"] for passage in other.search(query)}
        assert own
        assert theirs == {SPACE}
        assert not own & theirs
    assert other.http.get("/v1/documents/secret").json()["error"]["code"] == "not_found"
    assert other.http.delete("/v1/documents/secret").status_code == 404
    assert caller.search("x", min_seq=mine["seq"])
    assert [item["document_id"] for item in other.http.get("/v1/documents").json()["items"]] == ["shared-name"]


def test_a_write_on_one_replica_is_seen_on_the_other(caller: Caller, database_url: str, connect: Connect) -> None:
    with running_service(database_url) as base_url:
        replica = connect(base_url, caller.tenant)
        assert replica.search("milk") == []
        seq = caller.upload(MILK, document_id="d").json()["seq"]
        assert "1.19" in replica.search("milk", min_seq=seq)[0]["text"]
        replica.http.delete("/v1/documents/d")
        assert caller.search("milk") == []


@pytest.mark.parametrize(
    "path", [("GET", "/v1/documents"), ("POST", "/v1/search"), ("DELETE", "/v1/documents/d")], ids=lambda path: path[1]
)
def test_without_a_valid_token_for_this_service_nobody_is_heard(
    caller: Caller, path: tuple[str, str], connect: Connect
) -> None:
    stranger = connect(str(caller.http.base_url), caller.tenant, signing_key=generate_signing_key())
    unsigned = {"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}  # pragma: allowlist secret
    bad = [
        {"authorization": ""},
        {"authorization": "Basic dDE6"},
        {"authorization": "", "x-tenant-id": caller.tenant},
        unsigned,
        stranger.headers(),
        caller.headers(ago=timedelta(seconds=61)),
        caller.headers(audience=Audience.ORCHESTRATOR),
    ]
    for headers in bad:
        answer = caller.http.request(*path, headers=headers, json={"query": "milk"} if path[0] == "POST" else None)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")


def test_a_tenant_in_the_body_is_no_field_and_one_in_a_header_is_not_read(caller: Caller, other: Caller) -> None:
    other.upload(SPACE)
    answer = caller.http.post("/v1/search", json={"query": "Saturn", "tenant_id": other.tenant})
    assert answer.status_code == 422
    answer = caller.http.post("/v1/search", json={"query": "Saturn"}, headers={"x-tenant-id": other.tenant})
    assert answer.json() == {"passages": []}


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"filename": "a.exe"}, 422, "not supported"),
        ({"content": base64.b64encode(b"caf\xe9").decode()}, 422, "not UTF-8"),
        ({"content": base64.b64encode(b"a\x00b").decode()}, 422, "NUL"),
        ({"content": base64.b64encode(b" \n").decode()}, 422, "empty"),
        ({"content": "not base64!"}, 422, "content"),
        (
            {"content": base64.b64encode(b"x" * (MAX_DOCUMENT_BYTES + 1)).decode()},
            413,
            f"at most {MAX_DOCUMENT_BYTES} bytes",
        ),
        ({"content": "x" * (36 * 1024 * 1024)}, 413, "larger than"),
        ({"title": "a\ud800"}, 422, "title"),
        ({"metadata": {"a": "\ud800"}}, 422, "metadata"),
        ({"metadata": {"a": float("inf")}}, 422, "metadata"),
        ({"document_id": "../other"}, 422, "document_id"),
        ({"tenant_id": "t2"}, 422, "tenant_id"),
    ],
)
def test_a_bad_upload_is_refused_with_its_reason_and_nothing_is_kept(
    caller: Caller, fields: dict[str, Any], status: int, reason: str
) -> None:
    body = {"title": "T", "filename": "a.txt", "content": base64.b64encode(b"text").decode()} | fields
    answer = caller.http.post("/v1/documents", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["error"]["message"]
    assert caller.http.get("/v1/documents").json() == {"items": [], "next": None}


def test_metadata_comes_back_as_it_was_sent(caller: Caller) -> None:
    metadata = {"source": "wiki", "tags": ["a", "é"], "n": 10**25, "deep": {"x": None, "y": 1.5}}
    assert caller.upload(MILK, document_id="d", metadata=metadata).status_code == 201
    assert caller.http.get("/v1/documents/d").json()["metadata"] == metadata
    assert caller.upload(MILK, document_id="d", metadata=metadata).json()["seq"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"query": " "},
        {"k": 0},
        {"k": 101},
        {"vector": [1.0]},
        {"vector": [0.0] * 384},
        {"min_seq": -1},
        {"query": ""},
        {"query": "milk\x00"},
        {"query": "m" * 32_769},
        {"query": ["milk"]},
        {"k": 10**6},
        {"k": 2.5},
        {"min_seq": "soon"},
        {"mode": "sparse"},
        {"ranking": {"diversity": 2}},
        {"filter": {"tenant_id": "t2"}},
        {"filter": {"tags": []}},
        {"filter": {"tags": "a"}},
        {"filter": {"after": "soon"}},
        {"filter": {"document_ids": ["../t2"]}},
        {"filter": {"source": ["s"] * 1_001}},
        {"filter": "source = 's'"},
    ],
    ids=lambda fields: str(fields)[:28],
)
def test_a_bad_search_is_refused_with_what_is_wrong(caller: Caller, fields: dict[str, Any]) -> None:
    answer = caller.http.post("/v1/search", json={"query": "milk"} | fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "invalid_request")
    assert next(iter(fields)) in str(error["message"]) + str(error["details"])
    assert len(answer.content) < 2_000


def test_the_longest_question_and_the_largest_filter_are_answered(caller: Caller) -> None:
    caller.upload("milk", document_id="d1").raise_for_status()
    [found] = caller.search("milk " * 6_553, filter={"document_ids": [f"d{n}" for n in range(1_000)]}, k=100)
    assert found["document_id"] == "d1"


def test_a_sequence_ahead_of_the_log_is_refused_with_where_it_is(caller: Caller) -> None:
    answer = caller.http.post("/v1/search", json={"query": "milk", "min_seq": 1})
    assert (answer.status_code, answer.json()["error"]["details"]) == (412, {"seq": 0})


def test_a_tenant_without_a_row_is_not_found(service: str, connect: Connect) -> None:
    caller = connect(service, "nobody-here")
    assert caller.http.post("/v1/search", json={"query": "milk"}).status_code == 404
    assert caller.upload(MILK).status_code == 404


def test_embeddings_are_of_length_one_and_search_takes_them_for_the_query(caller: Caller) -> None:
    caller.upload(MILK)
    answer = caller.http.post("/v1/embed", json={"texts": ["price of milk", "", "x " * 10_000]}).json()
    vectors = np.array(answer["vectors"])
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    by_vector = caller.search("something else", vector=answer["vectors"][0])
    by_query = caller.search("price of milk")
    assert [passage["chunk_id"] for passage in by_vector] == [passage["chunk_id"] for passage in by_query]
    assert [p["score"] for p in by_vector] == pytest.approx([p["score"] for p in by_query], abs=1e-3)


def test_a_deadline_that_has_passed_ends_the_work(caller: Caller) -> None:
    answer = caller.http.post("/v1/embed", json={"texts": ["long " * 5_000] * 256}, headers=caller.headers(seconds=-1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")


def test_questions_are_answered_while_a_book_is_embedded_and_it_ends_when_its_caller_leaves(
    caller: Caller, other: Caller
) -> None:
    other.upload(MILK)
    body = b'{"texts": [' + b",".join([b'"' + b"page " * 250 + b'"'] * 256) + b"]}"
    head = (
        f"POST /v1/embed HTTP/1.1\r\nhost: rag\r\nauthorization: {caller.headers()['authorization']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    address = (caller.http.base_url.host, caller.http.base_url.port)
    with socket.create_connection(address) as connection:
        connection.sendall(head.encode() + body)
        assert other.search("milk")
    gone = f'atrium_request_total{{component="rag",route="POST /v1/embed",status="499",tenant="{caller.tenant}"}} 1.0'
    until = time.monotonic() + 3.0
    while gone not in caller.http.get("/metrics").text:
        assert time.monotonic() < until, "the work went on for a caller who had left"


def test_it_says_what_it_needs_and_what_it_did(caller: Caller) -> None:
    caller.upload(MILK)
    caller.search("milk")
    assert caller.http.get("/healthz").json() == {"status": "ok"}
    ready = caller.http.get("/readyz")
    assert (ready.status_code, ready.json()["dependencies"]) == (200, {"postgres": "ok"})
    metrics = caller.http.get("/metrics").text
    assert f'atrium_chunks_ingested_total{{tenant="{caller.tenant}"}}' in metrics
    assert "atrium_index_load_seconds_count" in metrics
    assert "atrium_cross_tenant_drop_total{" not in metrics


def test_without_its_database_it_is_unready_says_so_and_still_embeds(connect: Connect) -> None:
    with running_service("postgresql://nobody@127.0.0.1:1/none") as base_url:
        caller = connect(base_url, "t1")
        ready = caller.http.get("/readyz")
        assert (ready.status_code, ready.json()["dependencies"]) == (503, {"postgres": "down"})
        answer = caller.http.post("/v1/search", json={"query": "milk"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "dependency_unavailable")
        assert caller.http.post("/v1/embed", json={"texts": ["milk"]}).status_code == 200


async def test_twenty_searches_at_once_of_a_tenant_not_loaded_yet_agree(caller: Caller, database_url: str) -> None:
    caller.upload(MILK)
    with running_service(database_url) as base_url:
        async with httpx.AsyncClient(base_url=base_url, headers=caller.headers(), timeout=30) as client:
            calls = [client.post("/v1/search", json={"query": "milk"}) for _ in range(20)]
            answers = [answer.json() for answer in await asyncio.gather(*calls)]
            metrics = (await client.get("/metrics")).text
    found = [[passage["chunk_id"] for passage in answer["passages"]] for answer in answers]
    assert found[0]
    assert all(ids == found[0] for ids in found)  # a score's last bits depend on what else was in the batch
    assert 'atrium_index_load_seconds_count{source="log"} 1.0' in metrics


def test_a_replica_with_an_empty_disk_begins_with_the_snapshot_that_another_wrote(
    own_database: Addresses, connect: Connect, tmp_path: Path
) -> None:
    database_url = own_database.url  # with such thresholds every tenant is compacted, whosever it is
    tenant = new_tenant(database_url)
    shared = {
        "object_store_url": (tmp_path / "objects").as_uri(),
        "snapshot_interval_s": 0.05,
        "snapshot_writes": 1,
        "snapshot_chunks": 0,
    }
    with running_service(database_url, **shared, rag_cache_dir=tmp_path / "first") as base_url:
        writer = connect(base_url, tenant)
        writer.upload(MILK, document_id="milk")
        writer.upload(SPACE, document_id="space")
        before = writer.search("How much is milk?")
        until = time.monotonic() + 60
        while not settled(tmp_path / "objects", tenant):
            assert time.monotonic() < until, "no snapshot was written"
            time.sleep(0.05)
    with running_service(database_url, **shared, rag_cache_dir=tmp_path / "second") as base_url:
        reader = connect(base_url, tenant)
        assert reader.search("How much is milk?") == before
        metrics = reader.http.get("/metrics").text
        assert loads(metrics) == {"object_store": 1.0}
        assert "atrium_snapshot_fault_total{" not in metrics
        reader.http.delete("/v1/documents/milk")
        assert {passage["document_id"] for passage in reader.search("How much is milk?")} == {"space"}


def loads(metrics: str) -> dict[str, float]:
    """How many indexes were loaded, by where from."""
    found = re.findall(r'^atrium_index_load_seconds_count\{source="(\w+)"\} (\S+)$', metrics, re.MULTILINE)
    return {source: float(count) for source, count in found}


def settled(objects: Path, tenant: str) -> bool:
    """Whether there is the snapshot of the second write, and nothing beside it."""
    found = [path for path in (objects / "tenants" / tenant).rglob("*") if path.is_file()]
    return len(found) == 2 and {path.parent.name for path in found} == {"000000000002"}


def test_embeddings_in_openais_shape_are_the_vectors_of_the_index(caller: Caller) -> None:
    [vector] = caller.http.post("/v1/embed", json={"texts": ["milk"]}).json()["vectors"]
    one = caller.http.post("/v1/embeddings", json={"input": "milk"}).json()
    assert (one["object"], one["data"][0]["object"], one["data"][0]["index"]) == ("list", "embedding", 0)
    assert one["data"][0]["embedding"] == vector
    assert one["usage"] == {"prompt_tokens": 1, "total_tokens": 1}
    body = {"input": ["space", "milk"], "model": one["model"], "encoding_format": "base64"}
    two = caller.http.post("/v1/embeddings", json=body).json()
    assert [row["index"] for row in two["data"]] == [0, 1]
    written = np.frombuffer(base64.b64decode(two["data"][1]["embedding"]), dtype="<f4")
    assert np.allclose(written, vector, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"input": []}, 422),
        ({"input": ""}, 422),
        ({"input": ["x"] * 257}, 422),
        ({"input": [1, 2]}, 422),
        ({"input": "x", "model": "text-embedding-3-small"}, 404),
    ],
)
def test_what_cannot_be_embedded_is_refused(caller: Caller, body: dict[str, Any], status: int) -> None:
    assert caller.http.post("/v1/embeddings", json=body).status_code == status


def test_embeddings_ask_for_a_token(service: str) -> None:
    assert httpx.post(f"{service}/v1/embeddings", json={"input": "x"}, timeout=60).status_code == 401


def test_chunks_of_another_model_are_embedded_anew_and_found_again(
    caller: Caller, database_url: str, connect: Connect
) -> None:
    receipt = caller.upload(MILK).json()
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("SELECT set_config('app.tenant_id', %s, false)", [caller.tenant])
        database.execute(
            "UPDATE chunks SET model = 'another@0', embedding = ''::bytea WHERE tenant_id = %s", [caller.tenant]
        )
    with running_service(database_url) as fresh:
        again = connect(fresh, caller.tenant)
        deadline = time.monotonic() + 60
        while not (found := again.search("How much is milk?")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert {passage["document_id"] for passage in found} == {receipt["document_id"]}
    assert len(found) == receipt["chunks"]


def test_a_cross_encoder_orders_the_passages_of_a_search_that_asks_for_it(
    database_url: str, connect: Connect, tmp_path: Path
) -> None:
    """One of the usual architecture, with random weights: no package here carries a trained one."""
    folder = make_tiny_cross_encoder(tmp_path / "reranker")
    alone = CrossEncoderReranker(str(folder))
    texts = [f"{word} is sold in the shop of the town" for word in ("milk", "bread", "tea", "rice", "salt", "soap")]
    by_model = [texts[at] for at in np.argsort(alone.scores("what is sold", texts))[::-1]]
    with running_service(database_url, reranker_model=str(folder), reranker_timeout_s=30) as base_url:
        caller = connect(base_url, new_tenant(database_url))
        for text in texts:
            caller.upload(text).raise_for_status()
        asked = caller.search("what is sold", k=4, ranking={"rerank": True})
        assert [passage["text"] for passage in asked] == by_model[:4]
        unasked = [passage["text"] for passage in caller.search("what is sold", k=4)]
        assert unasked != by_model[:4]
        assert 'atrium_reranked_total{outcome="done"} 1' in caller.http.get("/metrics").text
