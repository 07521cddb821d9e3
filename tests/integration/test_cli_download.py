"""An export whose connection breaks in the middle: the server here is a socket that hangs up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command import run_atrium

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/zip\r\n"
CHUNK = b"400\r\n" + b"x" * 0x400 + b"\r\n"


@contextmanager
def hanging_up(answer: bytes) -> Iterator[str]:
    """Sends `answer` to the first who asks, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (HEAD + b"transfer-encoding: chunked\r\n\r\n" + CHUNK, "broke off"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n" + CHUNK + b"400\r\nxx", "broke off"),
        (HEAD + b"content-length: 5000\r\n\r\nxx", "no whole archive"),
        (HEAD + b"connection: close\r\n\r\nxx", "no whole archive"),
        (HEAD, "what came is no whole archive"),
        (b"", "out of reach"),
    ],
)
def test_nothing_is_left_of_it_and_the_command_fails(tmp_path: Path, answer: bytes, said: str) -> None:
    target = tmp_path / "out.zip"
    with hanging_up(answer) as url:
        done = run_atrium("tenant", "export", "t1", "-o", str(target), ATRIUM_URL=url, ATRIUM_KEY="atr_x")
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_gets_what_came_and_a_failing_exit_code() -> None:
    with hanging_up(HEAD + b"transfer-encoding: chunked\r\n\r\n" + CHUNK) as url:
        done = run_atrium("tenant", "export", "t1", "-o", "-", ATRIUM_URL=url, ATRIUM_KEY="atr_x")
    assert (done.code, done.out) == (1, "x" * 0x400)
    assert "broke off" in done.err
