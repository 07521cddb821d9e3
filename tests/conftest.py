"""The real stores, started when the first test asks for them and ended with the session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.postgres import running_postgres, running_valkey

if TYPE_CHECKING:
    from support.stack import Stack


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """PostgreSQL, migrated, as the service role. Shared by the session: use tenants of your own."""
    with running_postgres(tmp_path_factory.mktemp("stores") / "postgres") as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Valkey. Shared by the session: use tenants of your own."""
    with running_valkey(tmp_path_factory.mktemp("stores") / "valkey") as server:
        yield server.url


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Stack]:
    """The three services, on a database of their own: the first platform key of a store is theirs."""
    from support.stack import running_stack  # noqa: PLC0415  loads the services: only for tests that ask for them

    with (
        running_postgres(tmp_path_factory.mktemp("stack") / "postgres") as server,
        running_stack(server.url, valkey_url) as running,
    ):
        yield running
