"""Alembic's entry: runs the migrations as the schema's owner, on the address in MIGRATION_DATABASE_URL."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import create_engine, pool

from stores.postgres import driver_url


def run() -> None:
    url = context.config.attributes.get("database_url") or os.environ["MIGRATION_DATABASE_URL"]
    engine = create_engine(driver_url(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


run()
