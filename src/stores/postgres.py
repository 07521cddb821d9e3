"""PostgreSQL behind row-level security: a transaction is opened for one tenant and sees that tenant's rows only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from contracts.errors import DependencyDownError, NotFoundError
from contracts.tenant import TenantId
from stores.patience import bounded

STATEMENT_TIMEOUT_S = 30
POOL_WAIT_S = 5
CHECK_S = 0.9
CALL_S = 6.0
"""For a store's short calls (`stores.patience`): a wait for a connection, and the call itself."""

_SET_SCOPE = text("SELECT set_config('app.tenant_id', :tenant, true), set_config('app.platform', :platform, true)")
_IS_UNBOUND = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
_NO_TENANT = ""
_STANDS = text("SELECT FROM tenants WHERE tenant_id = :tenant AND created_at = :born AND state <> 'deleting'")


def driver_url(database_url: str) -> str:
    """`postgresql://…` with the driver that this code base uses named in it."""
    scheme, _, rest = database_url.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError("DATABASE_URL must begin with postgresql://")
    return f"postgresql+psycopg://{rest}"


class UnsafeRoleError(RuntimeError):
    """Tenants would be kept apart by nothing."""


class Database:
    """A pool of connections as the service role, which is neither owner nor BYPASSRLS."""

    def __init__(self, database_url: str, *, pool_size: int = 10) -> None:
        self._engine: AsyncEngine = create_async_engine(
            driver_url(database_url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=True,
            hide_parameters=True,  # an error's text goes to the log; a tenant's text must not
            connect_args={
                "connect_timeout": POOL_WAIT_S,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000}",
            },
        )
        self._statements = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def tenant(self, tenant_id: TenantId, *, born: datetime | None = None) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees and writes rows of `tenant_id` only; committed at the end, else rolled back.

        With `born` it ends in NotFoundError unless the tenant that was made at that moment still has the id: work that
        was begun for an earlier tenant neither sees a later one's rows nor writes beside them. None is for whoever
        means the id itself. Raises DependencyDownError when PostgreSQL is out of reach.
        """
        async with self._transaction(str(tenant_id), platform=False) as connection:
            yield connection
            # Last, so that it speaks for every statement before it: a tenant that is gone does not come back.
            if (
                born is not None
                and (await connection.execute(_STANDS, {"tenant": str(tenant_id), "born": born})).one_or_none() is None
            ):
                raise NotFoundError("no such tenant")

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees the platform's own rows (its keys, its audit chain) and no tenant's."""
        async with self._transaction(_NO_TENANT, platform=True) as connection:
            yield connection

    @asynccontextmanager
    async def tenant_as_platform(self, tenant_id: TenantId) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees `tenant_id`'s rows and the platform's own: for the platform's work on a tenant."""
        async with self._transaction(str(tenant_id), platform=True) as connection:
            yield connection

    def scope(
        self, tenant_id: TenantId | None, *, born: datetime | None = None
    ) -> AbstractAsyncContextManager[AsyncConnection]:
        """The tenant's transaction; the platform's where there is no tenant."""
        return self.tenant(tenant_id, born=born) if tenant_id is not None else self.platform()

    @asynccontextmanager
    async def no_tenant(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees no tenant's rows: for the few named functions that look across tenants."""
        async with self._transaction(_NO_TENANT, platform=False) as connection:
            yield connection

    async def across_tenants(self, call: str, *values: object) -> Any:
        """The value of one of the named functions that look across tenants: `SELECT name(%s, …)`, and nothing else.

        A transaction of its own, in one round trip and past SQLAlchemy's layers: a fifth of the CPU of `no_tenant`. It
        is in no tenant's scope: a scope is never set outside a transaction. Raises DependencyDownError, and psycopg's
        own errors for values that the function refuses.
        """
        return await self._value(call, *values)

    async def clock(self) -> datetime:
        """What PostgreSQL's clock shows. Raises DependencyDownError."""
        shown: datetime = await self._value("SELECT clock_timestamp()")
        return shown

    async def _value(self, statement: str, *values: object) -> Any:
        try:
            async with self._statements.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                try:
                    return (await (await driver.execute(statement, values)).fetchone())[0]
                except asyncio.CancelledError:
                    await connection.invalidate()  # left in the middle: nobody is to have it again
                    raise
        except (DBAPIError, psycopg.OperationalError, PoolTimeoutError, OSError) as error:
            raise _out_of_reach() from error

    @bounded(CHECK_S, "postgres")
    async def check(self) -> None:
        """For `/readyz`: raises when PostgreSQL does not answer, and UnsafeRoleError for a role that row-level
        security does not bind."""
        async with self._transaction(_NO_TENANT, platform=False) as connection:
            if (await connection.execute(_IS_UNBOUND)).scalar_one():
                raise UnsafeRoleError("DATABASE_URL names a superuser, or a role with BYPASSRLS: use atrium_app")

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self, tenant: str, *, platform: bool) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                await connection.execute(_SET_SCOPE, {"tenant": tenant, "platform": "on" if platform else "off"})
                yield connection
        except DBAPIError as error:
            # OperationalError: the connection, the server's state, or a lock or a statement that took too long.
            if error.connection_invalidated or isinstance(error, OperationalError):
                raise _out_of_reach() from error
            raise
        except (PoolTimeoutError, OSError) as error:  # TimeoutError is an OSError
            raise _out_of_reach() from error


def _out_of_reach() -> DependencyDownError:
    return DependencyDownError("the database is out of reach", details={"dependency": "postgres"}, retry_after_s=2)
