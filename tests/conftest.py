"""The real stores, started when the first test asks for them and ended with the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.postgres import running_postgres, running_valkey


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
