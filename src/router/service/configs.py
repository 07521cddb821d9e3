"""A tenant's versioned config: read, replaced, patched, rolled back. Every write is a new version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from contracts.context import Role
from contracts.errors import AtriumError, ForbiddenError, NotFoundError, PreconditionFailedError
from router.domain.caller import Caller
from router.domain.policy import Policy, compile_policy
from router.ports import RecentRequests
from tenancy.config import TenantConfig, Tier
from tenancy.diff import Change, changes
from tenancy.feed import ChangeFeed
from tenancy.live import LiveTenants
from tenancy.ports import ConfigEntry, TenantRecord, TenantStore
from tenancy.tiers import complete

_TRIES = 5
"""Of a write without If-Match that another one overtakes between its read and its write."""


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
    """The writing methods raise NotFoundError, PreconditionFailedError, ForbiddenError (a tier that only the platform
    may set) and pydantic's ValidationError."""

    def __init__(self, store: TenantStore, live: LiveTenants[Policy], feed: ChangeFeed, recent: RecentRequests) -> None:
        self._recent = recent
        self._store = store
        self._live = live
        self._feed = feed

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
        """JSON Merge Patch (RFC 7396): null takes a field back to its default. A config has no nested objects, so
        that every member is replaced whole."""
        return await self._write(caller, lambda current: _merged(current, patch), expected=expected, comment=comment)

    async def rollback(self, caller: Caller, version: int, *, expected: frozenset[int] | None, comment: str) -> Written:
        """What `version` said becomes a new version; the tier stays as it is."""
        old = await self._store.version(caller.tenant_id, version, born=caller.born)
        said = {name: value for name, value in old.config.items() if name != "tier"}
        return await self._write(
            caller, lambda _current: said, expected=expected, comment=comment or f"rolled back to version {version}"
        )

    async def candidate(self, caller: Caller, said: Mapping[str, Any]) -> Policy:
        """What a config that is not written would make. Raises ValidationError, ForbiddenError."""
        current = caller.policy
        config = complete(said, _tier(caller, said, current.config.tier))
        # In a thread: a thousand regular expressions take their time.
        return await asyncio.to_thread(compile_policy, TenantRecord(current.tenant_id, current.revision, config))

    async def patched_candidate(self, caller: Caller, patch: Mapping[str, Any]) -> Policy:
        return await self.candidate(caller, _merged(caller.policy.config, patch))

    async def history(self, caller: Caller, *, before: int | None, limit: int) -> list[HistoryItem]:
        """Newest first."""
        entries = await self._store.versions(caller.tenant_id, before=before, limit=limit + 1, born=caller.born)
        older: list[ConfigEntry | None] = [*entries[1:], None]
        return [
            HistoryItem(entry, changes(previous.config if previous else {}, entry.config) if previous else [])
            for entry, previous in zip(entries[:limit], older, strict=False)
        ]

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
        for attempt in range(1, _TRIES + 1):
            current = await self.current(caller)
            if expected is not None and current.revision.version not in expected:
                raise PreconditionFailedError(
                    f"the config is at version {current.revision.version}: read it again",
                    details={"current_version": current.revision.version},
                )
            said = make(current.config)
            config = complete(said, _tier(caller, said, current.config.tier))
            try:
                version = await self._store.write_config(
                    caller.tenant_id,
                    config,
                    by=caller.actor(),
                    comment=comment,
                    expected=frozenset({current.revision.version}),
                    born=caller.born,
                )
            except PreconditionFailedError:
                if expected is not None or attempt == _TRIES:
                    raise
                continue
            self._live.forget(caller.tenant_id)
            await self._feed.announce(caller.tenant_id)
            if config.retention_days == 0:
                with suppress(AtriumError):  # what cannot be removed now is shown to nobody, and expires
                    await self._recent.forget(caller.tenant_id)
            return Written(version, config)
        raise AssertionError("unreachable: the last try returns or raises")


def _merged(current: TenantConfig, patch: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = {**current.model_dump(mode="json"), **patch}
    return {name: value for name, value in merged.items() if value is not None}


def _tier(caller: Caller, said: Mapping[str, Any], current: Tier) -> Tier:
    """What the tenant is entitled to is the platform's to say: its own admin keeps the tier as it is."""
    wanted = said.get("tier")
    if wanted is None or wanted == current:
        return current
    tier = TypeAdapter(Tier).validate_python(wanted)
    if caller.principal.role is not Role.PLATFORM_ADMIN:
        raise ForbiddenError("the tier is set by the platform")
    return tier
