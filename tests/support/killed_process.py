"""A process that kills itself at a step that it is told, and is started anew, again and again."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from contracts.tenant import TenantId

HERE = Path(__file__).parent
LETS_GO_S = 30.0
_UNDER_WAY = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND state IS DISTINCT FROM 'idle'
"""


class Writer:
    """The process that dies again and again."""

    def __init__(self, process: subprocess.Popen[str], database_url: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout
        self._database_url = database_url

    def run(self, fatal: int) -> tuple[int, bool]:
        """How many of the scenario's deeds were acknowledged, and whether it was killed."""
        self._input.write(f"{fatal}\n")
        self._input.flush()
        done = 0
        while not (line := self._output.readline()).startswith("ended"):
            assert line, "the writer's parent has ended"
            done += 1
        self._has_let_go()
        return done, line.split()[1] == "9"

    def _has_let_go(self) -> None:
        """Until the server has seen that nobody is there any more. Till then what the process had under way holds
        locks, and whoever came at once would pass over what it holds, as a replica does that comes again later."""
        until = time.monotonic() + LETS_GO_S
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            while connection.execute(_UNDER_WAY).fetchone() != (0,):
                assert time.monotonic() < until, "the killed process still has something under way"
                time.sleep(0.005)


@contextmanager
def writer(database_url: str, tenant: TenantId, folder: Path, *, program: str) -> Iterator[Writer]:
    command = [sys.executable, str(HERE / program), database_url, str(tenant), str(folder)]
    path = os.pathsep.join(str(HERE.parents[level] / name) for level, name in ((0, ""), (1, "src")))
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    try:
        yield Writer(process, database_url)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def new_tenant(database_url: str) -> TenantId:
    tenant = TenantId(f"k-{secrets.token_hex(6)}")
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", (str(tenant),))
        statement = "INSERT INTO tenants (tenant_id, tier, config_version) VALUES (%s, 'basic', 1)"
        connection.execute(statement, (str(tenant),))
    return tenant
