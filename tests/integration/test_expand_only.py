"""Old and new pods run side by side: a migration only adds, until nobody uses what it would take away.

A migration that takes something away says `contract = "<revision>"`: the migration that brought what stands in its
place, which must have been in the previous release.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from cli.local.postgres import DATABASE
from support.expansion import losses
from support.postgres import Addresses
from support.releases import Migration, Release, migrations_after


def faults(migration: Migration, released: str) -> list[str]:
    if migration.contract is None:
        return losses(migration.sql)
    if not migration.contract <= released:
        return [f"it ends the expansion {migration.contract}, which was not in the previous release ({released})"]
    return []


@pytest.fixture
def empty_database(postgres: Addresses) -> Iterator[str]:
    """Of no schema yet; its owner's address."""
    name = f"t{secrets.token_hex(4)}"
    with psycopg.connect(postgres.owner_url, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}".encode())
        yield postgres.owner_url.replace(f"/{DATABASE}?", f"/{name}?")
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_what_came_since_the_previous_release_only_adds(empty_database: str) -> None:
    released = Release.previous().revision
    found = {each.revision: faults(each, released) for each in migrations_after(released, empty_database)}
    assert {revision: said for revision, said in found.items() if said} == {}


def test_the_check_sees_what_a_migration_runs(empty_database: str) -> None:
    """Also what it makes of what it finds: the eighth replaces a function, the ninth rewrites one."""
    told = {each.revision: each.sql for each in migrations_after("0007", empty_database)}
    assert list(told)[:2] == ["0008", "0009"]
    assert [said[:15] for said in losses(told["0008"])] == ["drops something"]
    assert losses(told["0009"]) == []
    assert "purge_tenant" in told["0009"]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE chunks",
        "DROP FUNCTION find_api_key(bytea)",
        "ALTER TABLE chunks DROP COLUMN text",
        "ALTER TABLE chunks DROP text, ADD other text",
        "ALTER TABLE chunks ADD a text, DROP COLUMN text",
        "ALTER TABLE chunks RENAME TO pieces",
        "ALTER TABLE ONLY chunks RENAME COLUMN text TO words",
        "ALTER TABLE chunks ALTER COLUMN seq TYPE integer",
        "alter table chunks alter seq set data type integer",
        "ALTER TABLE chunks ALTER heading SET NOT NULL",
        "ALTER TABLE chunks ALTER heading DROP DEFAULT",
        "ALTER TABLE chunks ADD COLUMN a text NOT NULL",
        "ALTER TABLE chunks ADD a numeric(4, 2) DEFAULT 0, ADD b text NOT NULL",
        "ALTER TABLE chunks ADD CONSTRAINT short CHECK (length(text) < 9)",
        "ALTER TABLE chunks ADD UNIQUE (tenant_id)",
        "CREATE UNIQUE INDEX one ON chunks (tenant_id)",
        "REVOKE INSERT ON chunks FROM atrium_app",
        "SELECT 1; -- a comment; with a semicolon\nTRUNCATE chunks",
        "DROP POLICY own_rows ON chunks",
        "ALTER TYPE state RENAME VALUE 'a' TO 'b'",
        "ALTER TABLE chunks FORCE ROW LEVEL SECURITY",
        "DELETE FROM chunks",
    ],
)
def test_what_takes_something_away_is_seen(sql: str) -> None:
    assert losses(sql) != []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (b text NOT NULL); ALTER TABLE a FORCE ROW LEVEL SECURITY; CREATE UNIQUE INDEX c ON a (b)",
        "ALTER TABLE chunks ADD a text, ADD COLUMN IF NOT EXISTS b numeric(4, 2) NOT NULL DEFAULT 0",
        "ALTER TABLE chunks ALTER heading DROP NOT NULL",
        "ALTER TABLE chunks DROP CONSTRAINT short",
        "CREATE INDEX a ON chunks (seq); DROP INDEX b",
        "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DROP TABLE chunks; DELETE FROM chunks; $$",
        "COMMENT ON TABLE chunks IS 'DROP TABLE chunks; it''s fine'",
        "/* DROP TABLE chunks; */ GRANT SELECT ON chunks TO atrium_app",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ''; REVOKE ALL ON FUNCTION f() FROM PUBLIC",
        "INSERT INTO prices SELECT 1; UPDATE chunks SET heading = ''",
    ],
)
def test_what_adds_is_let_through(sql: str) -> None:
    assert losses(sql) == []


@pytest.mark.parametrize(("contract", "let"), [("0009", True), ("0010", False), (None, False)])
def test_a_contraction_comes_a_release_after_its_expansion(contract: str | None, let: bool) -> None:
    assert (faults(Migration("0011", "DROP TABLE chunks", contract), "0009") == []) is let
