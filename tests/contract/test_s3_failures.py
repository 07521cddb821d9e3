"""S3 that is away, hangs, loses an answer, or holds old versions: over a real socket, with real boto3."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3.session
import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from stores.blocking_calls import CALL_S
from stores.objects import open_objects

pytestmark = pytest.mark.usefixtures("aws")
T = TenantId("t1")

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def imitation_s3(*script: Answer) -> Iterator[str]:
    """An HTTP server that gives the answers of `script` one after the other, then only 500."""
    answers = iter(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # with "100 Continue", for which boto3 waits a second

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            next(answers, status(500))(self)

        def do_HEAD(self) -> None:
            next(answers, status(500))(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def status(code: int, **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return send


async def test_a_dead_endpoint_is_an_outage_within_the_bound() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        objects = open_objects("s3://b/p", endpoint_url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        for call in (objects.get(T, "k"), objects.put(T, "k", b"x"), objects.check()):
            began = time.monotonic()
            with pytest.raises(DependencyDownError) as caught:
                await call
            assert time.monotonic() - began < CALL_S
            assert caught.value.details == {"dependency": "object_store"}
            assert caught.value.retry_after_s == 2
        await objects.close()


async def test_readiness_does_not_wait_for_an_endpoint_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        objects = open_objects("s3://b/p", endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(DependencyDownError):
            await objects.check()
        assert time.monotonic() - began < 5
    await objects.close()


async def test_a_bucket_that_is_not_there_is_an_outage_not_an_empty_store(s3_server: str) -> None:
    objects = open_objects("s3://no-such-bucket/p", endpoint_url=s3_server)
    calls = (objects.get(T, "k"), objects.put(T, "k", b"x"), objects.list(T), objects.delete_all(T), objects.check())
    for call in calls:
        with pytest.raises(DependencyDownError):
            await call
    await objects.close()


async def test_a_put_whose_answer_was_lost_was_still_ours() -> None:
    sent: list[str] = []

    def take_and_hang_up(handler: BaseHTTPRequestHandler) -> None:
        sent.append(handler.headers["x-amz-meta-atrium-put"])
        handler.connection.shutdown(socket.SHUT_RDWR)

    def show_what_is_there(handler: BaseHTTPRequestHandler) -> None:
        status(200, x_amz_meta_atrium_put=sent[0])(handler)

    with imitation_s3(take_and_hang_up, status(412), show_what_is_there) as url:
        objects = open_objects("s3://b/p", endpoint_url=url)
        assert await objects.put(T, "k", b"x", if_absent=True)
        await objects.close()


async def test_a_conflict_is_tried_again_and_is_no_outage() -> None:
    with imitation_s3(status(409), status(200), status(409), status(409), status(409)) as url:
        objects = open_objects("s3://b/p", endpoint_url=url)
        assert await objects.put(T, "k", b"x", if_absent=True)
        assert not await objects.put(T, "k", b"x", if_absent=True)
        await objects.close()


async def test_delete_all_removes_old_versions_and_markers(s3_server: str) -> None:
    client = boto3.session.Session().client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    objects = open_objects("s3://versioned/p", endpoint_url=s3_server)
    for data in (b"1", b"2"):
        await objects.put(T, "k", data)
    await objects.put(T, "gone", b"3")
    await objects.delete(T, "gone")
    assert await objects.list(T) == ["k"]
    assert await objects.delete_all(T) == 2
    left = client.list_object_versions(Bucket="versioned")
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")
    client.close()
    await objects.close()
