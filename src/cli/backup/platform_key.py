"""Secrets for a restored directory whose backup has none: the directory's earlier ones, else new ones, with a platform
key that the restored store knows."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from cli.local.data_dir import DataDir
from cli.local.secrets import Secrets
from contracts.context import Role
from stores.postgres import Database
from tenancy.audit import Actor
from tenancy.keys import hash_key, keyed, new_key
from tenancy.postgres_keys import PostgresKeyStore

LABEL = "made by atrium restore"
_BY = Actor("atrium restore", Role.PLATFORM_ADMIN.value)


def own_secrets(data_dir: DataDir, database_url: str, target: Path) -> bool:
    """Writes them. True where the store got a new platform key: the next `atrium up` shows it, once."""
    kept = Secrets.load(data_dir.secrets)
    secrets = kept or Secrets.load_or_create(target, os.environ)
    if asyncio.run(_knows(database_url, secrets.platform_key)):
        secrets.save(target)
        return False
    # A kept key that this store does not know may have been revoked: it does not come to life again.
    text = new_key().text if kept else secrets.platform_key
    asyncio.run(_add(database_url, text))
    secrets.model_copy(update={"platform_key": text, "platform_key_shown": False}).save(target)
    return True


async def _knows(database_url: str, text: str) -> bool:
    database = Database(database_url)
    try:
        holder = await PostgresKeyStore(database).find(hash_key(text))
    finally:
        await database.close()
    return holder is not None and holder.tenant_id is None


async def _add(database_url: str, text: str) -> None:
    database = Database(database_url)
    try:
        await PostgresKeyStore(database).add(
            None, keyed(text), label=LABEL, role=Role.PLATFORM_ADMIN, expires_at=None, by=_BY
        )
    finally:
        await database.close()
