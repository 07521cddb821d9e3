"""What a backup says of itself: which tables and objects are in it, how many bytes, and their SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cli.errors import CliError
from contracts.tenant import TenantId
from stores.object_keys import is_key

MANIFEST = "manifest.json"
SECRETS = "secrets.json"  # pragma: allowlist secret
MAX_MANIFEST_BYTES = 64 << 20
"""Some 400,000 objects."""
_TABLES, _OBJECTS = "tables/", "objects/"

Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Count = Annotated[int, Field(ge=0, lt=1 << 62)]


class BackupError(CliError):
    """The file is no backup, or not one that can be restored here; the message says why."""


class Member(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Table(Member):
    columns: tuple[Name, ...] = Field(min_length=1, strict=False)
    rows: Count


class Manifest(BaseModel):
    """`sequences`: the last value of each, None where it was never used. `objects` by `tenant/key`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    format: Literal["atrium-backup"] = "atrium-backup"
    version: Literal[1] = 1
    made_at: datetime
    atrium: Annotated[str, Field(max_length=100)]
    schema_revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,32}$")]
    examples_loaded: bool
    tables: Mapping[Name, Table]
    sequences: Mapping[Name, Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None]
    objects: Mapping[str, Member]
    secrets: Member | None

    @model_validator(mode="after")
    def _only_keys(self) -> Self:
        for name in self.objects:
            object_of(name)
        return self

    def members(self) -> dict[str, Member]:
        """Every member of the archive but the manifest itself, by its name there."""
        found: dict[str, Member] = {table_member(name): table for name, table in self.tables.items()}
        found |= {object_member(name): member for name, member in self.objects.items()}
        return found if self.secrets is None else found | {SECRETS: self.secrets}

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @property
    def table_bytes(self) -> int:
        return sum(table.bytes for table in self.tables.values())

    @property
    def object_bytes(self) -> int:
        return sum(member.bytes for member in self.objects.values())


def table_member(table: str) -> str:
    return f"{_TABLES}{table}.copy"


def object_member(name: str) -> str:
    return f"{_OBJECTS}{name}"


def object_of(name: str) -> tuple[TenantId, str]:
    """The tenant and the key that `tenant/key` names. Raises ValueError for what names no object: so no member of an
    archive is ever a path that leads elsewhere."""
    tenant, _, key = name.partition("/")
    if not is_key(key):
        raise ValueError("not the name of an object")
    return TenantId(tenant), key
