"""A tenant's versioned config: read, replaced, patched, rolled back. Every write is a new version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel

from contracts.context import Role
from contracts.errors import AtriumError, ForbiddenError, NotFoundError, OverloadedError, PreconditionFailedError
from contracts.pools import PoolState
from contracts.tenant import TenantId
from router.domain.caller import Caller
from router.domain.policy import Policy
from router.domain.pool_warnings import pool_warnings
from router.ports import RecentRequests
from router.service.policies import Policies
from servicekit.tenant_slots import TenantSlots
from tenancy.config import TenantConfig, Tier
from tenancy.diff import Change, changes
from tenancy.feed import ChangeFeed
from tenancy.live import LiveTenants
from tenancy.ports import FIRST_VERSION, ConfigEntry, TenantRecord, TenantStore
from tenancy.tiers import DEFAULTS, OF_THE_PLATFORM
from tenancy.warnings import ConfigWarning

WRITE_S = 20.0
"""Waiting for other writers of the same config included."""
MAX_WRITERS = 100
"""Of one tenant's config in this process, who wait for each other."""


@dataclass(frozen=True, slots=True)
class Written:
    version: int
    config: TenantConfig


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """A version, and how it differs from the one before it."""

    entry: ConfigEntry
    changes: list[Change]


class ConfigService:
    """The writing methods raise NotFoundError, ForbiddenError (a tier that only the platform may set),
    BodyTooLargeError, OverloadedError, pydantic's ValidationError, and PreconditionFailedError where versions were
    expected. What changes nothing makes no version."""

    def __init__(
        self,
        store: TenantStore,
        live: LiveTenants[Policy],
        feed: ChangeFeed,
        recent: RecentRequests,
        policies: Policies,
        pools: Callable[[], Mapping[str, PoolState]] = dict,
    ) -> None:
        """`pools`: what was last heard of the engine pools."""
        self._pools = pools
        self._recent = recent
        self._policies = policies
        self._writing = TenantSlots(1, waiting=MAX_WRITERS)
        self._store = store
        self._live = live
        self._feed = feed

    async def first(self, tenant_id: TenantId, said: Mapping[str, Any], tier: Tier) -> TenantConfig:
        """The config of a tenant that is to be. Raises ValidationError, BodyTooLargeError."""
        return await self._policies.checked(tenant_id, said, tier)

    async def warnings(self, tenant_id: TenantId, config: TenantConfig) -> Sequence[ConfigWarning]:
        return [*await self._policies.warnings(tenant_id, config), *pool_warnings(config, self._pools())]

    async def current(self, caller: Caller) -> TenantRecord:
        """Read from the store, not from the cache: an admin sees what was last written, wherever it was written."""
        found = await self._store.read(caller.tenant_id)
        if found is None or found.revision.born != caller.born:
            raise NotFoundError("no such tenant")
        return found

    async def replace(
        self, caller: Caller, said: Mapping[str, Any], *, expected: frozenset[int] | None, comment: str
    ) -> Written:
        """`said`: the fields that were given; the others take the tier's and the schema's defaults."""
        return await self._write(caller, lambda _current: said, expected=expected, comment=comment)

    async def patch(
        self, caller: Caller, patch: Mapping[str, Any], *, expected: frozenset[int] | None, comment: str
    ) -> Written:
        """JSON Merge Patch (RFC 7396): null takes a field back to its default; objects are merged, lists replaced."""
        return await self._write(caller, lambda current: _merged(current, patch), expected=expected, comment=comment)

    async def rollback(self, caller: Caller, version: int, *, expected: frozenset[int] | None, comment: str) -> Written:
        """What `version` said becomes a new version; what is the platform's to say stays as it is."""
        old = await self._store.version(caller.tenant_id, version, born=caller.born)
        said = {name: value for name, value in old.config.items() if name not in OF_THE_PLATFORM}
        return await self._write(
            caller, lambda _current: said, expected=expected, comment=comment or f"rolled back to version {version}"
        )

    async def candidate(self, caller: Caller, said: Mapping[str, Any]) -> Policy:
        """What a config that is not written would make. Raises ValidationError, ForbiddenError."""
        policy = caller.policy
        record = TenantRecord(policy.tenant_id, policy.revision, policy.config)
        tier, entitled = _entitled(caller, said, policy.config)
        return await self._policies.candidate(record, entitled, tier)

    async def patched_candidate(self, caller: Caller, patch: Mapping[str, Any]) -> Policy:
        return await self.candidate(caller, _merged(caller.policy.config, patch))

    async def history(self, caller: Caller, *, before: int | None, limit: int) -> list[HistoryItem]:
        """Newest first; fewer than `limit`, but one at least, where they are large."""
        entries = await self._store.versions(caller.tenant_id, before=before, limit=limit + 1, born=caller.born)
        return await self._policies.run(caller.tenant_id, partial(_told, entries, limit))

    async def version(self, caller: Caller, version: int) -> ConfigEntry:
        return await self._store.version(caller.tenant_id, version, born=caller.born)

    async def _write(
        self,
        caller: Caller,
        make: Callable[[TenantConfig], Mapping[str, Any]],
        *,
        expected: frozenset[int] | None,
        comment: str,
    ) -> Written:
        """Without `expected` what was written meanwhile, by whatever router, is merged with; nobody waits for that
        longer than WRITE_S."""
        try:
            async with asyncio.timeout(WRITE_S), self._writing.held(caller.tenant_id):
                while True:
                    with suppress(_OvertakenError):
                        return await self._try_to_write(caller, make, expected, comment)
        except TimeoutError as error:
            raise OverloadedError("others write this config all the time") from error

    async def _try_to_write(
        self,
        caller: Caller,
        make: Callable[[TenantConfig], Mapping[str, Any]],
        expected: frozenset[int] | None,
        comment: str,
    ) -> Written:
        """Raises _OvertakenError where somebody else wrote between the read and the write."""
        current = await self.current(caller)
        version = current.revision.version
        if expected is not None and version not in expected:
            raise PreconditionFailedError(
                f"the config is at version {version}: read it again", details={"current_version": version}
            )
        said = make(current.config)
        tier, entitled = _entitled(caller, said, current.config)
        config = await self._policies.checked(caller.tenant_id, entitled, tier)
        if config == current.config:
            return Written(version, config)
        try:
            written = await self._store.write_config(
                caller.tenant_id,
                config,
                by=caller.actor(),
                comment=comment,
                expected=frozenset({version}),
                born=caller.born,
            )
        except PreconditionFailedError as error:
            if expected is not None:
                raise
            raise _OvertakenError from error
        self._live.forget(caller.tenant_id)
        await self._feed.announce(caller.tenant_id)
        if config.retention_days == 0:
            with suppress(AtriumError):  # what cannot be removed now is shown to nobody, and expires
                await self._recent.forget(caller.tenant_id)
        return Written(written, config)


class _OvertakenError(Exception):
    """Somebody else wrote between a read and the write that was made of it."""


class _OfTier(BaseModel):
    """The tier alone, so that a wrong one is told with its place."""

    tier: Tier


def _merged(current: TenantConfig, patch: Mapping[str, Any]) -> Mapping[str, Any]:
    known = current.model_dump(mode="json")
    if patch.get("tier") not in (None, known["tier"]):
        # What the old tier gave goes with it; what was said stays.
        gave = DEFAULTS[current.tier]
        known = {name: value for name, value in known.items() if gave.get(name) != value}
    # What the patch says null of takes its default; a null that stood there stays; an unknown field is for the schema.
    kept = {name: value for name, value in known.items() if name not in patch}
    said = {
        name: _merged_member(known.get(name), value)
        for name, value in patch.items()
        if value is not None or name not in TenantConfig.model_fields
    }
    return kept | said


def _merged_member(current: Any, value: Any) -> Any:
    """Only an object is merged, with what is there; a name that is not there may be unknown, and is for the schema."""
    if not isinstance(value, Mapping) or not isinstance(current, Mapping):
        return value
    merged = dict(current)
    for name, part in value.items():
        if part is None and name in merged:
            del merged[name]
        else:
            merged[name] = _merged_member(merged.get(name), part)
    return merged


def _entitled(caller: Caller, said: Mapping[str, Any], current: TenantConfig) -> tuple[Tier, Mapping[str, Any]]:
    """The tier, and what is said with what the tenant is entitled to as it is: that is the platform's to change."""
    tier = _OfTier.model_validate({"tier": said.get("tier") or current.tier}).tier
    if caller.principal.role is not Role.PLATFORM_ADMIN:
        for name in OF_THE_PLATFORM:
            if said.get(name) is not None and not _same(said[name], getattr(current, name)):
                raise ForbiddenError(f"{name} is set by the platform")
    kept = [name for name in OF_THE_PLATFORM if name != "tier" and said.get(name) is None]
    if tier is not current.tier:
        kept = [name for name in kept if name not in DEFAULTS[tier]]
    return tier, {**said, **{name: getattr(current, name) for name in kept}}


def _same(said: Any, current: Any) -> bool:
    """Lists as JSON has them, and the tuples of a config."""
    if isinstance(said, list | tuple) and isinstance(current, tuple):
        return list(said) == list(current)
    return bool(said == current)


def _told(entries: Sequence[ConfigEntry], limit: int) -> list[HistoryItem]:
    """Of each version but the last, which is there for the one before it; the very first has none."""
    older: list[ConfigEntry | None] = [*entries, None][1:]
    whole = entries and entries[-1].version == FIRST_VERSION
    return [
        HistoryItem(entry, changes(previous.config, entry.config) if previous else [])
        for entry, previous in zip(entries, older, strict=True)
        if previous or whole
    ][:limit]
