"""The objects that belong to a snapshot of the database: read beside it, and only what it knows of."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from psycopg import Connection

from cli.backup.manifest import BackupError
from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from stores.objects import Objects, open_objects

T = TypeVar("T")
_UPLOADS, _ARCHIVE, _VIEWS = "uploads/", "audit/", "rag/"
_STRETCH = re.compile(r"audit/\d{12}-(\d{12})\.jsonl")
_TENANTS = "SELECT tenant_id FROM tenants ORDER BY tenant_id"
_HEADS = "SELECT tenant_id, seq FROM audit_heads WHERE tenant_id IS NOT NULL"
_FILES = """
SELECT tenant_id, job_id FROM ingest_jobs WHERE state IN ('queued', 'processing', 'committing') AND file IS NULL
ORDER BY tenant_id, job_id
"""


@dataclass(frozen=True)
class Known:
    """What the database's snapshot knows: its tenants, how far their audit logs went, which files wait for a job."""

    tenants: tuple[TenantId, ...]
    heads: dict[TenantId, int]
    files: tuple[tuple[TenantId, str], ...]

    @classmethod
    def of(cls, connection: Connection) -> Known:
        return cls(
            tuple(TenantId(str(row[0])) for row in connection.execute(_TENANTS)),
            {TenantId(str(tenant)): int(seq) for tenant, seq in connection.execute(_HEADS)},
            tuple((TenantId(str(tenant)), f"{_UPLOADS}{job}") for tenant, job in connection.execute(_FILES)),
        )

    def wants(self, tenant_id: TenantId, key: str) -> bool:
        """Beside the jobs' files: all but views, which are made again, and what was archived after the snapshot: a
        restored log goes on with other events of the same numbers."""
        if key.startswith(_ARCHIVE):
            stretch = _STRETCH.fullmatch(key)
            return stretch is not None and int(stretch[1]) <= self.heads.get(tenant_id, 0)
        return not key.startswith((_UPLOADS, _VIEWS))


class Files:
    """The object store, asked from a program without a loop of its own."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._runner = asyncio.Runner()

    @classmethod
    def at(cls, url: str, *, region: str | None = None, endpoint_url: str | None = None) -> Files:
        try:
            return cls(open_objects(url, region=region, endpoint_url=endpoint_url))
        except ValueError as error:
            raise BackupError(str(error)) from error

    def get(self, tenant_id: TenantId, key: str) -> bytes | None:
        return self._asked(self._objects.get(tenant_id, key))

    def put(self, tenant_id: TenantId, key: str, data: bytes) -> None:
        self._asked(self._objects.put(tenant_id, key, data))

    def others(self, known: Known) -> Iterator[tuple[TenantId, str, bytes]]:
        """What is there of the tenants beside the jobs' files. What goes in this moment goes with its tenant."""
        for tenant_id in known.tenants:
            for key in self._asked(self._objects.list(tenant_id)):
                data = self.get(tenant_id, key) if known.wants(tenant_id, key) else None
                if data is not None:
                    yield tenant_id, key, data

    def close(self) -> None:
        self._asked(self._objects.close())
        self._runner.close()

    def _asked(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            return self._runner.run(call)
        except DependencyDownError as error:
            raise BackupError("the object store cannot be reached") from error
