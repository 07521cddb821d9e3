"""Where tenants, keys and the audit log are kept. Every method raises DependencyDownError when the store is out of
reach. Writing raises NotFoundError for a tenant that does not exist or is being deleted; reading finds nothing of one
that does not exist. With `born`, which tells a tenant from an earlier one of its id, both raise NotFoundError unless
the tenant that was made then has the id, and is not being deleted: a request of an earlier tenant reads and writes
nothing of a later one's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from contracts.context import Role
from contracts.tenant import TenantId
from tenancy.audit import Actor, AuditEvent, Deed, Head
from tenancy.config import TenantConfig, Tier
from tenancy.keys import KeyHolder, KeyInfo, NewKey

FIRST_VERSION = 1
PAGE_BYTES = 1 << 20
"""Of the configs on a page of the history, as JSON: what goes beyond it is the page's last."""


class TenantState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Revision:
    """Changes whenever anything that governs the tenant's requests does. `born` tells a tenant from an earlier one
    of the same id."""

    born: datetime
    version: int
    state: TenantState


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """What governs a tenant's requests at one revision."""

    tenant_id: TenantId
    revision: Revision
    config: TenantConfig


@dataclass(frozen=True, slots=True)
class TenantSummary:
    tenant_id: TenantId
    display_name: str
    tier: Tier
    state: TenantState
    config_version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """A version in the history. `config` is as it was stored: an old one may not fit today's schema any more."""

    version: int
    config: Mapping[str, Any]
    author: str
    comment: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Onboarding:
    """How a repeated `POST /tenants` is known: who sent which Idempotency-Key with which body. `nonce` makes the
    admin key."""

    key_hash: bytes
    request_hash: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion under way: what was removed so far, by store and kind."""

    tenant_id: TenantId
    requested_by: str
    request_id: str
    started_at: datetime
    removed: Mapping[str, int]


class TenantStore(Protocol):
    async def create(
        self,
        tenant_id: TenantId,
        config: TenantConfig,
        admin_key: NewKey,
        *,
        by: Actor,
        onboarding: Onboarding | None = None,
    ) -> None:
        """Tenant, first config version, first admin key and audit events, all or nothing.

        Raises ConflictError if the tenant exists, IdempotencyMismatchError if the Idempotency-Key made another one.
        """
        ...

    async def onboarding(self, tenant_id: TenantId) -> Onboarding | None:
        """How the tenant was made; None where it is unknown or was made without an Idempotency-Key."""
        ...

    async def list(self, after: str, limit: int) -> list[TenantSummary]:
        """In order of id, those greater than `after`."""
        ...

    async def read(self, tenant_id: TenantId) -> TenantRecord | None: ...

    async def read_unless(self, tenant_id: TenantId, known: Revision | None) -> TenantRecord | Revision | None:
        """The record, or only its revision where that is the one already known; None for an unknown tenant."""
        ...

    async def write_config(
        self,
        tenant_id: TenantId,
        config: TenantConfig,
        *,
        by: Actor,
        comment: str = "",
        expected: frozenset[int] | None = None,
        born: datetime | None = None,
    ) -> int:
        """Add a version and make it current; returns its number.

        Raises PreconditionFailedError when the current version is not among `expected`.
        """
        ...

    async def versions(
        self, tenant_id: TenantId, *, before: int | None, limit: int, born: datetime | None = None
    ) -> Sequence[ConfigEntry]:
        """The history, newest first, of the versions below `before`: `limit` of them, or as many as together have
        PAGE_BYTES, and two at least, so that each can be compared with the one before it."""
        ...

    async def version(self, tenant_id: TenantId, version: int, *, born: datetime | None = None) -> ConfigEntry:
        """Raises NotFoundError."""
        ...

    async def set_state(self, tenant_id: TenantId, state: TenantState, *, by: Actor) -> TenantSummary:
        """Suspend or resume. Setting what is set already changes nothing."""
        ...


class DeletionStore(Protocol):
    """The steps of deleting a tenant in the database. Each may be repeated."""

    async def begin(self, tenant_id: TenantId, *, by: Actor) -> Deletion:
        """Mark the tenant and open the job, or find the one that was opened. Raises NotFoundError if neither exists."""
        ...

    def held(self, job: Deletion) -> AbstractAsyncContextManager[bool]:
        """While it is held no other router works on the job, so that none removes what a new tenant of the same id has
        stored since. Waits for the one that does; False if the job has been finished."""
        ...

    async def note(self, tenant_id: TenantId, removed: Mapping[str, int]) -> None:
        """Add to what the job has removed."""
        ...

    async def purge(self, tenant_id: TenantId, at_most: int) -> Mapping[str, int]:
        """Remove up to `at_most` rows of each table but the tenant's own, and note it, in one transaction.

        Empty when nothing is left.
        """
        ...

    async def finish(self, tenant_id: TenantId, *, by: Actor, proof: Mapping[str, int]) -> Deletion | None:
        """Remove the tenant's row, and with it the hold on its id, close the job, and write the receipt into the
        platform's audit log: one transaction. `proof`: what was found left in the other stores.

        None if the job has been finished already.
        """
        ...

    async def unfinished(self) -> Sequence[Deletion]: ...


class KeyStore(Protocol):
    """Keys of a tenant, or of the platform where `tenant_id` is None."""

    async def find(self, key_hash: bytes) -> KeyHolder | None: ...

    async def add_first_platform_key(self, key: NewKey, label: str) -> bool:
        """Add it if there is no platform key yet; says whether it was added."""
        ...

    async def add(
        self,
        tenant_id: TenantId | None,
        key: NewKey,
        *,
        label: str,
        role: Role,
        expires_at: datetime | None,
        by: Actor,
        born: datetime | None = None,
    ) -> KeyInfo: ...

    async def list(self, tenant_id: TenantId | None, *, born: datetime | None = None) -> list[KeyInfo]:
        """Oldest first, those that have expired too."""
        ...

    async def rotate(
        self,
        tenant_id: TenantId | None,
        key_id: str,
        key: NewKey,
        *,
        old_until: datetime,
        expires_at: datetime | None,
        by: Actor,
        born: datetime | None = None,
    ) -> KeyInfo:
        """A new key with the old one's label and role; the old one ends at `old_until` at the latest. Without
        `expires_at` the new one lives as long as the old one was made to.

        Raises NotFoundError for an unknown key, and for one that has expired; ConflictError where the platform's last
        key that does not expire would be replaced by one that does.
        """
        ...

    async def revoke(self, tenant_id: TenantId | None, key_id: str, *, by: Actor, born: datetime | None = None) -> None:
        """Raises NotFoundError; ConflictError for the platform's last key that does not expire."""
        ...

    async def touch(self, used: Mapping[str, datetime]) -> None:
        """Note when keys, by id, were last used."""
        ...


class AuditLog(Protocol):
    """Append-only. The chain of a tenant, or the platform's own where `tenant_id` is None."""

    async def append(self, tenant_id: TenantId | None, deed: Deed, *, born: datetime | None = None) -> AuditEvent:
        """For a deed whose work another store committed; a store's own changes write theirs in one transaction."""
        ...

    async def append_all(
        self, tenant_id: TenantId | None, deeds: Sequence[Deed], *, born: datetime | None = None
    ) -> list[AuditEvent]:
        """Several deeds, at least one, in their order: all of them or none."""
        ...

    async def page(
        self, tenant_id: TenantId | None, *, after: int, limit: int, born: datetime | None = None
    ) -> list[AuditEvent]:
        """In order, those behind `after`."""
        ...

    async def recent(
        self, tenant_id: TenantId | None, *, before: int | None, limit: int, born: datetime | None = None
    ) -> list[AuditEvent]:
        """Newest first, those below `before`."""
        ...

    async def head(self, tenant_id: TenantId | None, *, born: datetime | None = None) -> Head: ...


class ChangeLog(Protocol):
    """Which tenants changed, in the order of commit. None stands for the platform."""

    async def last(self) -> int: ...

    async def after(self, seq: int) -> tuple[int, list[TenantId | None]]:
        """The number of the last change there is, and whose changed since `seq`. The number is lower than `seq` where
        the database has lost what it had committed (a restore, a failover)."""
        ...
