"""A hostile file hurts a process that is replaced: it is refused with a reason, and the next file is read as ever."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.errors import AtriumError, BodyTooLargeError, InvalidRequestError
from observability.metrics import NullMetrics
from rag.ingestion import worker as worker_module
from rag.ingestion.confinement import Limits, memory_is_limited
from rag.ingestion.worker import WorkerPool, WorkerProcess

SRC = Path(__file__).parents[3] / "src"
MIB = 1024 * 1024
NOTE = ("note.md", b"# Hours\n\nThe shop opens at eight.")
BURNS = b"%PDF-1.4\n" + b"<<" * 2_000_000
"""Nested so deep that pypdf goes on and on."""


@asynccontextmanager
async def pool(workers: int = 1, **limits: int | float) -> AsyncIterator[WorkerPool]:
    async with WorkerPool.running(NullMetrics(), limits=Limits(**limits), workers=workers) as running:
        yield running


async def reason_of(running: WorkerPool, filename: str, content: bytes) -> str:
    with pytest.raises((InvalidRequestError, BodyTooLargeError)) as refused:
        await running.extract(filename, content)
    return refused.value.message


async def reads_on(running: WorkerPool) -> None:
    extracted = await running.extract(*NOTE)
    assert "eight" in extracted.text


async def at_work(running: WorkerPool) -> None:
    while not running.pids:  # noqa: ASYNC110  the pool has no event for it: nobody else needs to know
        await asyncio.sleep(0)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def zipped(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in entries.items():
            opened.writestr(name.replace("__", "/") + ".xml", data)
    return buffer.getvalue()


def pdf_of(objects: list[bytes]) -> bytes:
    body, offsets = b"%PDF-1.4\n", []
    for number, item in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return body + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        table,
        len(objects) + 1,
        len(body),
    )


def pdf_with(pages: int, kids: bytes, stream: bytes = b"") -> bytes:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>"
    content = b"<</Filter/FlateDecode/Length %d>>\nstream\n%s\nendstream" % (len(stream), stream)
    return pdf_of(
        [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, kids), page, content]
    )


LAUGHS = b'<!DOCTYPE w [<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, (b"&%c;" % (97 + n)) * 10) for n in range(9)
)
HOSTILE = {
    "a zip bomb": ("a.docx", zipped(word__document=b" " * 100 * MIB)),
    "a billion laughs": ("a.docx", zipped(word__document=LAUGHS + b"]><w>&j;</w>")),
    "an external entity": ("a.docx", zipped(word__document=b'<!DOCTYPE w SYSTEM "http://127.0.0.1:1/x"><w/>')),
    "a million pages": ("a.pdf", pdf_with(1_000_000, b"3 0 R " * 1_000)),
    "pages that are each other's children": ("a.pdf", pdf_with(2, b"2 0 R 2 0 R")),
    "a stream that unpacks to a gigabyte": (
        "a.pdf",
        pdf_with(1, b"3 0 R", zlib.compress(zlib.compress(b"(a) Tj " * 20 * MIB)) * 1),
    ),
    "dictionaries in each other": ("a.pdf", BURNS),
    "deep HTML": ("a.html", b"<b>" * 1_000_000),
    "deep JSON": ("a.json", b'{"a":' * 1_000_000),
    "a number of a million digits": ("a.json", b"[" + b"9" * 25 * MIB),
    "a million columns": ("a.csv", b"," * 1_000_000),
    "one line of 25 MiB": ("a.txt", b"x" * 25 * MIB),
    "one quoted field of 25 MiB": ("a.csv", b'a,b\n"' + b"x" * 20 * MIB),
    "NUL": ("a.txt", b"a\x00b"),
    "a million tags": ("a.html", b"<p>" + b"<i></i>" * 1_000_000),
    "a page in a page in a page": ("a.mhtml", b"Content-Type: text/html\r\n\r\n" + b"<div>" * 500_000),
    "a mail in a mail in a mail": (
        "a.eml",
        b"".join(b"Subject: s\nContent-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(20_000)),
    ),
    "a mail of a million empty parts": (
        "a.eml",
        b"Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n\n" * 1_000_000,
    ),
    "a mail with a header of 5 MiB": ("a.eml", b"From: " + b"(" * 5 * MIB + b"\n\n"),
    "subtitles of nothing but times": ("a.srt", b"0:0:0,0 --> 0:0:0,0\n" * 500_000),
    "a notebook that is a list": ("a.ipynb", b'{"cells": [[[]]]}'),
    "nothing but openings": ("a.html", b"<" * 5 * MIB),
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
async def test_a_hostile_file_is_refused_with_a_reason_soon_and_the_next_is_read(what: str) -> None:
    async with pool(cpu_s=20, wall_s=60) as running:
        started = time.monotonic()
        reason = await reason_of(running, *HOSTILE[what])
        assert time.monotonic() - started < 60
        assert len(reason) > 10
        assert "Traceback" not in reason
        await reads_on(running)


async def test_a_file_that_takes_too_long_is_told_so_and_its_worker_is_replaced() -> None:
    async with pool(wall_s=0.5) as running:
        await reads_on(running)
        work = asyncio.create_task(reason_of(running, "a.txt", b"x" * 9_000_000))
        await at_work(running)
        stopped = running.pids[0]
        os.kill(stopped, signal.SIGSTOP)
        assert "more than 0.5 seconds" in await work
        await reads_on(running)
        assert is_gone(stopped)


async def test_a_file_that_computes_too_long_is_ended_by_the_kernel() -> None:
    async with pool(cpu_s=0, wall_s=60) as running:
        reason = await reason_of(running, "a.html", b"<p>" + b"<i>x</i>" * 1_500_000)
        assert "seconds of computing" in reason


@pytest.mark.skipif(not memory_is_limited(), reason="the kernel does not limit memory")
async def test_a_file_that_needs_too_much_memory_is_told_so() -> None:
    async with pool(memory_bytes=400 * MIB) as running:
        reason = await reason_of(running, "a.json", b"[" + b'{"":0},' * 1_400_000 + b"1]")
        assert "memory" in reason
        await reads_on(running)


async def test_where_the_kernel_does_not_limit_memory_the_parent_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "memory_is_limited", lambda: False)
    async with pool() as running:
        await reads_on(running)
        monkeypatch.setattr(worker_module, "resident", lambda _: 10**12)
        reason = await reason_of(running, "a.html", b"<p>" + b"<i>x</i>" * 1_000_000)
        assert "memory" in reason


async def test_a_worker_that_is_killed_is_replaced() -> None:
    async with pool() as running:
        await reads_on(running)
        work = asyncio.create_task(reason_of(running, "a.html", b"<p>" + b"<i>x</i>" * 1_000_000))
        await at_work(running)
        os.kill(running.pids[0], signal.SIGKILL)
        assert "broke down" in await work
        await reads_on(running)


async def test_who_leaves_ends_the_work_and_nothing_is_left_behind() -> None:
    async with pool() as running:
        await reads_on(running)
        work = asyncio.create_task(running.extract("a.html", b"<p>" + b"<i>x</i>" * 1_000_000))
        await at_work(running)
        left = running.pids[0]
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        await reads_on(running)
        assert is_gone(left)


async def test_a_note_is_read_while_a_book_is() -> None:
    async with pool(workers=2) as running:
        await asyncio.gather(reads_on(running), reads_on(running))
        book = asyncio.create_task(running.extract("a.html", b"<p>" + b"<i>x </i>" * 800_000))
        await at_work(running)
        await reads_on(running)
        assert not book.done()
        book.cancel()
        await asyncio.gather(book, return_exceptions=True)


def confined(code: str) -> subprocess.CompletedProcess[str]:
    before = "import os, socket, ctypes, subprocess\nfrom rag.ingestion.confinement import *\nconfine(Limits())\n"
    return subprocess.run(
        [sys.executable, "-c", before + code],
        env={"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("socket.create_connection(('127.0.0.1', 80))", "RefusedError"),
        ("subprocess.run(['/bin/true'])", "RefusedError"),
        ("os.execv('/bin/true', ['true'])", "RefusedError"),
        ("open('/tmp/atrium-too-large', 'wb').write(b'x' * (33 * 1024 * 1024))", "File too large"),
        ("[os.open('/dev/null', 0) for _ in range(100)]", "Too many open files"),
    ],
)
def test_a_confined_process_reaches_nothing(code: str, refused: str) -> None:
    done = confined(code)
    Path("/tmp/atrium-too-large").unlink(missing_ok=True)
    assert done.returncode != 0
    assert refused in done.stderr or done.returncode == -signal.SIGXFSZ


@pytest.mark.skipif(sys.platform != "linux", reason="a filter of Linux")
def test_code_that_goes_around_python_reaches_no_network_either() -> None:
    done = confined("libc = ctypes.CDLL(None, use_errno=True)\nprint(libc.socket(2, 1, 0), ctypes.get_errno())")
    assert done.stdout.split() == ["-1", "1"], done.stderr  # EPERM


def test_a_worker_has_none_of_the_services_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    worker = WorkerProcess(Limits())
    try:
        assert b"secret" not in Path(f"/proc/{worker.pid}/environ").read_bytes()
    finally:
        worker.close()


@pytest.mark.parametrize(
    "answer",
    [{}, {"text": "a", "pieces": [[0, 2, "", ""]]}, {"text": "a", "pieces": [["x"]]}, {"text": "a", "pieces": []}],
)
def test_what_a_worker_says_is_not_believed(answer: dict[str, object]) -> None:
    with pytest.raises(AtriumError):
        worker_module._read(answer)
