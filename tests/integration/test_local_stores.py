"""The embedded stores that `atrium up` and the tests themselves run on."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from contracts.tenant import TenantId
from stores.postgres import Database
from stores.valkey import Valkey, tenant_key
from support.postgres import running_postgres


async def test_the_services_connect_as_a_role_that_is_bound_by_row_level_security(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT current_user::text, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == ("atrium_app", False, False)
    database = Database(database_url)
    await database.check()
    await database.close()


async def test_valkey_answers_over_its_socket(valkey_url: str) -> None:
    valkey = Valkey(valkey_url)
    await valkey.check()
    await valkey.close()
    assert tenant_key(TenantId("t1"), "a") == "atrium:{t1}:a"


@pytest.mark.parametrize("names", [["private"], ["a" * 100, "b" * 100]], ids=["below a private folder", "a long path"])
def test_a_second_start_finds_the_rows_of_the_first(tmp_path: Path, names: list[str]) -> None:
    data_dir = tmp_path.joinpath(*names, "postgres")
    data_dir.parent.mkdir(parents=True)
    data_dir.parent.chmod(0o700)
    with running_postgres(data_dir) as server, psycopg.connect(server.owner_url) as connection:
        connection.execute("INSERT INTO tenants VALUES ('kept', 'basic', 1)")
    with running_postgres(data_dir) as server, psycopg.connect(server.owner_url) as connection:
        assert connection.execute("SELECT tenant_id FROM tenants").fetchall() == [("kept",)]
