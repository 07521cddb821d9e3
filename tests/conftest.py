"""The real stores, started when the first test asks for them and ended with the session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.postgres import Addresses, fresh_database, running_postgres, running_valkey
from support.s3 import running_s3

if TYPE_CHECKING:
    from cli.local.postgres import Postgres
    from support.stack import Stack


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """PostgreSQL, migrated, as the service role and as the owner. Shared by the session: use tenants of your own."""
    with running_postgres(tmp_path_factory.mktemp("stores") / "postgres") as server:
        yield Addresses(server.url, server.owner_url)


@pytest.fixture(scope="session")
def database_url(postgres: Addresses) -> str:
    """PostgreSQL, migrated, as the service role. Shared by the session: use tenants of your own."""
    return postgres.url


@pytest.fixture
def own_database(postgres: Addresses) -> Iterator[Addresses]:
    """A migrated database for this test alone: for what all tenants share."""
    with fresh_database(postgres) as addresses:
        yield addresses


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Valkey. Shared by the session: use tenants of your own."""
    with running_valkey(tmp_path_factory.mktemp("stores") / "valkey") as server:
        yield server.url


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 API without buckets. Shared by the session: use buckets of your own."""
    with running_s3(tmp_path_factory.mktemp("s3") / "moto.log") as url:
        yield url


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 as on a machine with credentials, and with nothing of this machine's own settings."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture(scope="session")
def stack_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The stack's own database: the first platform key of a store is the stack's."""
    with running_postgres(tmp_path_factory.mktemp("stack") / "postgres") as server:
        yield server


@pytest.fixture(scope="session")
def stack(stack_postgres: Postgres, valkey_url: str) -> Iterator[Stack]:
    """The three services."""
    from support.stack import running_stack  # noqa: PLC0415  loads the services: only for tests that ask for them

    with running_stack(stack_postgres.url, valkey_url) as running:
        yield running
