"""The real stores for tests, each once a session: PostgreSQL (migrated) and Valkey, on Unix sockets of their own."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg

from cli.local.postgres import DATABASE, Postgres, migrate
from cli.local.sockets import remove_socket_folder
from cli.local.valkey import Valkey

START_TIMEOUT_S = 30.0


class Addresses(NamedTuple):
    """Of one database: as the services connect, and as its owner does."""

    url: str
    owner_url: str


@contextmanager
def running_postgres(data_dir: Path) -> Iterator[Postgres]:
    """A migrated server without crash safety."""
    server = Postgres(data_dir, durable=False)
    server.prepare()
    with running(server.command(), server.answers, data_dir):
        server.migrate()
        yield server


@contextmanager
def fresh_database(server: Addresses) -> Iterator[Addresses]:
    """Another database of a running server, migrated, and dropped at the end."""
    name = f"t{secrets.token_hex(4)}"
    addresses = Addresses(*(url.replace(f"/{DATABASE}?", f"/{name}?") for url in server))
    with psycopg.connect(server.owner_url, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}".encode())
    try:
        migrate(addresses.owner_url)
        yield addresses
    finally:
        with psycopg.connect(server.owner_url, autocommit=True) as owner:
            owner.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    """The server hangs: it neither answers nor closes a connection. Afterwards it goes on as if nothing had been."""
    postmaster = psutil.Process(int((server.data_dir / "postmaster.pid").read_text(encoding="ascii").split()[0]))
    postmaster.suspend()  # first, so that it starts no further process
    processes = [*postmaster.children(recursive=True), postmaster]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@contextmanager
def running_valkey(data_dir: Path) -> Iterator[Valkey]:
    server = Valkey(data_dir)
    server.prepare()
    with running(server.command(), server.answers, data_dir):
        yield server


@contextmanager
def running(command: list[str], answers: Callable[[], bool], data_dir: Path) -> Iterator[None]:
    log = data_dir.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/")
    try:
        _wait_until(answers, process, log)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: SIGTERM would wait for every client
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        remove_socket_folder(data_dir)


def _wait_until(answers: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while not answers():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.02)
