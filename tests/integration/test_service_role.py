"""The Job that migrates gives the services' role its password, and no other role one."""

from __future__ import annotations

import psycopg
import pytest

from stores.service_role import ServiceRoleError, set_password
from support.postgres import Addresses


def test_the_role_of_the_services_gets_the_password_as_a_verifier(own_database: Addresses) -> None:
    assert set_password(own_database.owner_url, "postgresql://atrium_app:p%40ss@db/atrium") == "atrium_app"
    with psycopg.connect(own_database.owner_url) as owner:
        kept = owner.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'atrium_app'").fetchone()
        owner.execute("ALTER ROLE atrium_app PASSWORD NULL")
    assert kept is not None
    assert kept[0].startswith("SCRAM-SHA-256$")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://postgres:x@db/atrium", "superuser"),
        ("postgresql://nobody_here:x@db/atrium", "no role nobody_here"),
        ("postgresql://atrium_app@db/atrium", "no password"),
    ],
)
def test_any_other_role_is_refused(own_database: Addresses, url: str, why: str) -> None:
    with pytest.raises(ServiceRoleError, match=why):
        set_password(own_database.owner_url, url)
