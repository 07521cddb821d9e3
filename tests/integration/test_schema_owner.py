"""The statements of modules/secrets that make PostgreSQL's roles, run as RDS' master user may: no superuser."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import psycopg
import pytest

from cli.local.postgres import ROOT, SERVICE_ROLE, migrate
from stores.service_role import ServiceRoleError, set_password
from support.postgres import Addresses
from support.tenants import opened, postgres_stores
from tenancy.keys import new_key

README = ROOT / "infrastructure" / "terraform" / "modules" / "secrets" / "README.md"


def statements(name: str) -> str:
    """With names of their own: the server is shared. The services' role is there already, so it is another's here."""
    found = re.search(r"<<SQL\n(.*?)\nSQL$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found
    filled = found[1].replace("$OWNER", "a").replace("$APP", "b")
    return re.sub(r"\batrium(_\w+)?\b", lambda match: f"{name}{match[1] or ''}", filled)


@pytest.fixture
def made(postgres: Addresses) -> Iterator[Addresses]:
    name = f"t{secrets.token_hex(4)}"
    url = postgres.url.replace("/atrium?", f"/{name}?")
    with psycopg.connect(postgres.owner_url, autocommit=True) as root:
        root.execute(f"CREATE ROLE {name}_master LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB CREATEROLE".encode())
        root.execute(f"CREATE DATABASE {name} OWNER {name}_master".encode())
        try:
            with psycopg.connect(url.replace(f"{SERVICE_ROLE}@", f"{name}_master@"), autocommit=True) as master:
                for statement in statements(name).split(";\n"):
                    master.execute(statement.encode())
            yield Addresses(url, url.replace(f"{SERVICE_ROLE}@", f"{name}_owner@"))
        finally:
            root.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            for role in ("app", "owner", "master"):
                root.execute(f"DROP ROLE IF EXISTS {name}_{role}".encode())


async def test_the_owner_that_rds_master_user_makes_brings_the_schema_up_to_date(made: Addresses) -> None:
    migrate(made.owner_url)
    with psycopg.connect(made.owner_url) as owner:
        row = owner.execute(
            "SELECT current_user, rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row is not None
        assert row[0].endswith("_owner")
        assert not row[1]
        owners = owner.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert owners == [(row[0],)]
    async with opened(made.url) as database:
        assert await postgres_stores(database).keys.add_first_platform_key(new_key(), "first")


def test_the_job_that_migrates_ends_well_though_that_owner_may_give_no_role_a_password(made: Addresses) -> None:
    owner = made.owner_url.partition("//")[2].partition("@")[0]
    service = owner.removesuffix("_owner") + "_app"
    url = made.url.replace(f"{SERVICE_ROLE}@", f"{service}:b@")
    assert set_password(made.owner_url, url) == service


def test_the_job_that_migrates_says_so_where_the_role_then_cannot_log_in(made: Addresses, postgres: Addresses) -> None:
    owner = made.owner_url.partition("//")[2].partition("@")[0]
    service = owner.removesuffix("_owner") + "_app"
    with psycopg.connect(postgres.owner_url, autocommit=True) as root:
        root.execute(f"ALTER ROLE {service} NOLOGIN".encode())
    with pytest.raises(ServiceRoleError, match="may not give it a password"):
        set_password(made.owner_url, made.url.replace(f"{SERVICE_ROLE}@", f"{service}:b@"))
