"""Ingestion: chunks per second from a file to committed and searchable, what of it is not embedding, and what questions
feel of it.

    PYTHONPATH=src:tests python -m benchmarks.ingest [CHUNKS]

The RAG service as it runs, over a socket, with a durable PostgreSQL of its own and the configured embedding model. The
text is this repository's own documentation, written in each format. A question is another tenant's search.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
from docx import Document as WordDocument
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate
from rich.console import Console
from rich.table import Table

from contracts.context import Audience, Role, TenantContext
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from rag.adapters.hash_embedder import HashEmbedder
from rag.domain.corpus import Document
from rag.ingestion.pipeline import Pipeline
from rag.ingestion.worker import WorkerPool
from rag.main import create_app
from rag.settings import Settings
from servicekit.tokens import TokenSigner, generate_signing_key, load_signing_key, public_text
from support.postgres import running_postgres
from support.server import served

DOCS = sorted((Path(__file__).parents[1] / "docs").rglob("*.md"))
CHARS_A_CHUNK = 600
KEY = generate_signing_key()


def text_of(chunks: int) -> str:
    """Some hundred sections of Markdown, no two alike: the model is not helped by repetition."""
    sections: list[str] = []
    size = 0
    source = [part for path in DOCS for part in path.read_text(encoding="utf-8").split("\n## ")]
    while size < chunks * CHARS_A_CHUNK:
        number = len(sections)
        sections.append(f"## {number} {source[number % len(source)]}")
        size += len(sections[-1])
    return "\n\n".join(sections)[: chunks * CHARS_A_CHUNK]


def as_html(text: str) -> bytes:
    parts = [f"<h2>{part[3:]}</h2>" if part.startswith("## ") else f"<p>{part}</p>" for part in text.split("\n\n")]
    return f"<html><body>{''.join(parts)}</body></html>".encode()


def as_docx(text: str) -> bytes:
    document, buffer = WordDocument(), io.BytesIO()
    for part in text.split("\n\n"):
        if part.startswith("## "):
            document.add_heading(part[3:80], 2)
        document.add_paragraph(part)
    document.save(buffer)
    return buffer.getvalue()


def as_pdf(text: str) -> bytes:
    buffer, style = io.BytesIO(), getSampleStyleSheet()["BodyText"]
    plain = [re.sub(r"[<>&]", " ", part)[:3_000] for part in text.split("\n\n")]
    SimpleDocTemplate(buffer).build([Paragraph(part, style) for part in plain])
    return buffer.getvalue()


def as_csv(text: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["number", "text"])
    writer.writerows([number, line] for number, line in enumerate(text.split("\n")) if line)
    return out.getvalue().encode()


def as_json(text: str) -> bytes:
    return json.dumps([{"number": number, "text": part} for number, part in enumerate(text.split("\n\n"))]).encode()


FORMATS: dict[str, Callable[[str], bytes]] = {
    "book.md": str.encode,
    "book.html": as_html,
    "book.docx": as_docx,
    "book.pdf": as_pdf,
    "book.csv": as_csv,
    "book.json": as_json,
}


def client_of(base_url: str, database_url: str) -> httpx.Client:
    tenant = f"bench-{secrets.token_hex(4)}"
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
        connection.execute("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (%s, 'basic', 1)", (tenant,))
    context = TenantContext(
        tenant_id=TenantId(tenant),
        user_id="u",
        roles=(Role.TENANT_USER,),
        session_id="s",
        request_id="r",
        config_version=1,
        deadline=datetime.now(UTC) + timedelta(hours=1),
    )
    signer = TokenSigner(load_signing_key(KEY))

    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["authorization"] = f"Bearer {signer.mint(Audience.RAG, context)}"
        return request

    return httpx.Client(base_url=base_url, auth=sign, timeout=600)


def ingest(client: httpx.Client, name: str, content: bytes) -> tuple[int, float]:
    """Chunks, and seconds until they are searchable."""
    head = json.dumps({"title": name, "filename": name, "document_id": f"d{secrets.token_hex(4)}"}).encode()
    started = time.perf_counter()
    receipt = client.post("/v1/documents/file", content=head + b"\x00" + content).raise_for_status().json()
    while receipt["state"] != "ready":
        assert receipt["state"] != "failed", receipt
        time.sleep(0.05)
        receipt = client.get(f"/v1/documents/{receipt['document_id']}").raise_for_status().json()
    return int(receipt["chunks"]), time.perf_counter() - started


def question_ms(client: httpx.Client) -> float:
    started = time.perf_counter()
    client.post("/v1/search", json={"query": "How long is a key valid?"}).raise_for_status()
    return (time.perf_counter() - started) * 1_000


@contextmanager
def asking(client: httpx.Client, taken: list[float]) -> Iterator[None]:
    """A question every 50 ms, meanwhile."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.05):
            taken.append(question_ms(client))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def without_embedding(name: str, content: bytes) -> tuple[int, float]:
    """Reading, cutting and counting, by a warm worker."""
    async with WorkerPool.running(NullMetrics(), workers=1) as pool:
        pipeline = Pipeline(HashEmbedder(), pool)
        document = Document("d", name, name, {}, b"", len(content))
        await pipeline.read(TenantId("bench"), document, content)
        started = time.perf_counter()
        found = await pipeline.read(TenantId("bench"), document, content)
        return len(found), time.perf_counter() - started


def main() -> None:
    chunks = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    text = text_of(chunks)
    table = Table(
        "file", "bytes", "chunks", "chunks/s", "CPU ms a chunk", "read and cut alone, chunks/s", title="Ingestion"
    )
    quiet: list[float] = []
    busy: list[float] = []
    with tempfile.TemporaryDirectory() as folder, running_postgres(Path(folder) / "postgres") as server:
        settings: dict[str, Any] = {
            "database_url": server.url,
            "service_verify_keys": public_text(load_signing_key(KEY)),
        }
        with served(create_app(Settings(**settings))) as base_url:
            asker, client = client_of(base_url, server.url), client_of(base_url, server.url)
            ingest(asker, "note.md", text[:20_000].encode())
            quiet += [question_ms(asker) for _ in range(60)]
            for name, written in FORMATS.items():
                content = written(text)
                alone, read_s = asyncio.run(without_embedding(name, content))
                before = time.process_time()
                with asking(asker, busy):
                    count, seconds = ingest(client, name, content)
                cpu = f"{(time.process_time() - before) * 1_000 / count:.1f}"
                table.add_row(
                    name, f"{len(content):,}", str(count), f"{count / seconds:.1f}", cpu, f"{alone / read_s:,.0f}"
                )
    Console().print(table)
    for what, taken in (("alone", quiet), ("while a book is ingested", busy)):
        late = sorted(taken)[int(len(taken) * 0.95)]
        print(f"a question {what}: median {statistics.median(taken):.0f} ms, 95 % within {late:.0f} ms ({len(taken)})")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()
