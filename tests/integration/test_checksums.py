"""What an operator compares a restored database by tells an equal copy from one that differs, and in what."""

from __future__ import annotations

import psycopg

from support.postgres import Addresses
from support.rendered import ROOT

CHECKSUMS = (ROOT / "infrastructure" / "terraform" / "checksums.sql").read_text(encoding="utf-8")


def checksums(url: str) -> dict[tuple[str, str], tuple[int, int]]:
    """(rows, sum) by (tenant, table)."""
    with psycopg.connect(url, autocommit=True) as owner:
        results = owner.execute(CHECKSUMS.encode())
        while results.description is None:
            assert results.nextset()
        return {(tenant, name): (rows, int(total)) for tenant, name, rows, total in results.fetchall()}


def test_a_copy_has_the_same_checksums_and_a_changed_row_another_one(own_database: Addresses) -> None:
    name = own_database.owner_url.partition("?")[0].rpartition("/")[2]
    copy = own_database.owner_url.replace(f"/{name}?", f"/{name}_copy?")
    with psycopg.connect(own_database.owner_url, autocommit=True) as owner:
        for tenant in ("a", "b"):
            owner.execute("SELECT set_config('app.tenant_id', %s, false)", (tenant,))
            owner.execute("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (%s, 'basic', 1)", (tenant,))
            owner.execute(
                "INSERT INTO tenant_configs (tenant_id, version, config, author) VALUES (%s, 1, '{}', 'x')",
                (tenant,),
            )
    postgres = own_database.owner_url.replace(f"/{name}?", "/postgres?")
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}".encode())
    try:
        told = checksums(own_database.owner_url)
        assert told == checksums(copy)
        assert told["a", "tenant_configs"][0] == told["b", "tenant_configs"][0] == 1
        assert told["-", "audit_events"][0] == 0
        assert ("-", "prices") in told
        with psycopg.connect(copy, autocommit=True) as owner:
            owner.execute("UPDATE tenant_configs SET author = 'y' WHERE tenant_id = 'b'")
        other = checksums(copy)
        assert {key for key in told if told[key] != other[key]} == {("b", "tenant_configs")}
    finally:
        with psycopg.connect(postgres, autocommit=True) as server:
            server.execute(f"DROP DATABASE {name}_copy WITH (FORCE)".encode())
