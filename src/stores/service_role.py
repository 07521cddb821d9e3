"""`python -m stores.service_role`: the services' role may log in with the password that DATABASE_URL has.

Run as the schema's owner (MIGRATION_DATABASE_URL) after the migrations, which make the role without a password. The
password is hashed here (SCRAM-SHA-256): the server, and its log, see the verifier alone. An owner that may give no
passwords (no CREATEROLE, as on RDS: infrastructure/terraform/modules/secrets) leaves the role as it is, which then must
be able to log in already.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

_UNBOUND = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s"
_CONNECT_S = 10


class ServiceRoleError(RuntimeError):
    """The role of DATABASE_URL cannot be given its password; the message says why."""


def set_password(owner_url: str, service_url: str) -> str:
    """The role's name. Raises ServiceRoleError for a role that is missing, that row-level security does not bind,
    or that the owner may give none and that cannot log in."""
    service = urlsplit(service_url)
    role, password = unquote(service.username or ""), unquote(service.password or "")
    if not role or not password:
        raise ServiceRoleError("DATABASE_URL names no role, or no password of it")
    with psycopg.connect(_plain(owner_url)) as connection:
        found = connection.execute(_UNBOUND, [role]).fetchone()
        if found is None:
            raise ServiceRoleError(f"there is no role {role}: run the migrations first, which make atrium_app")
        if found[0]:
            raise ServiceRoleError(f"{role} is a superuser or has BYPASSRLS: use atrium_app")
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        try:
            connection.execute(
                sql.SQL("ALTER ROLE {role} LOGIN PASSWORD {verifier}").format(
                    role=sql.Identifier(role), verifier=sql.Literal(verifier)
                )
            )
        except psycopg.errors.InsufficientPrivilege:
            connection.rollback()
            _log_in(service_url, role)
    return role


def _log_in(service_url: str, role: str) -> None:
    try:
        psycopg.connect(_plain(service_url), connect_timeout=_CONNECT_S).close()
    except psycopg.OperationalError as error:
        raise ServiceRoleError(
            f"{role} cannot log in by DATABASE_URL, and the owner may not give it a password (no CREATEROLE): "
            f"ALTER ROLE {role} LOGIN PASSWORD … as who made it: {error}"
        ) from error


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def main() -> None:
    try:
        role = set_password(os.environ["MIGRATION_DATABASE_URL"], os.environ["DATABASE_URL"])
    except ServiceRoleError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{role} may log in\n")


if __name__ == "__main__":
    main()
