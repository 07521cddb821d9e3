"""API keys of a tenant, or of the platform: made, listed, rotated, revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.context import Role
from contracts.errors import ForbiddenError, InvalidRequestError
from contracts.tenant import TenantId
from servicekit.tokens import utc_now
from tenancy.audit import Actor
from tenancy.feed import ChangeFeed
from tenancy.keys import KeyInfo, new_key
from tenancy.ports import KeyStore

MAX_OVERLAP = timedelta(days=30)
MAX_LIFETIME = timedelta(days=3_653)


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key with its text, at the only moment that it is shown."""

    info: KeyInfo
    text: str


class KeyService:
    """`tenant_id` None: the platform's keys."""

    def __init__(self, store: KeyStore, feed: ChangeFeed) -> None:
        self._store = store
        self._feed = feed

    async def create(
        self, tenant_id: TenantId | None, *, label: str, role: Role, expires_at: datetime | None, by: Actor
    ) -> ShownKey:
        """Raises ForbiddenError for a role that does not belong there, InvalidRequestError for an end in the past."""
        if (role is Role.PLATFORM_ADMIN) != (tenant_id is None):
            place = "a tenant's key" if tenant_id is not None else "a platform key"
            raise ForbiddenError(f"{place} cannot have the role {role.value}")
        _in_future(expires_at)
        key = new_key()
        info = await self._store.add(tenant_id, key, label=label, role=role, expires_at=expires_at, by=by)
        return ShownKey(info, key.text)

    async def list(self, tenant_id: TenantId | None) -> list[KeyInfo]:
        return await self._store.list(tenant_id)

    async def rotate(
        self,
        tenant_id: TenantId | None,
        key_id: str,
        *,
        overlap: timedelta,
        expires_at: datetime | None,
        by: Actor,
    ) -> ShownKey:
        """The old key goes on for `overlap`, so that who uses it can change over. Raises NotFoundError."""
        _in_future(expires_at)
        key = new_key()
        info = await self._store.rotate(
            tenant_id, key_id, key, old_until=utc_now() + overlap, expires_at=expires_at, by=by
        )
        await self._feed.announce(tenant_id)
        return ShownKey(info, key.text)

    async def revoke(self, tenant_id: TenantId | None, key_id: str, *, by: Actor) -> None:
        """Refused everywhere within a second. Raises NotFoundError, ConflictError."""
        await self._store.revoke(tenant_id, key_id, by=by)
        await self._feed.announce(tenant_id)


def _in_future(expires_at: datetime | None) -> None:
    if expires_at is None:
        return
    now = utc_now()
    if not now < expires_at < now + MAX_LIFETIME:
        reason = "is in the past" if expires_at <= now else "is more than ten years away: leave it out for no end"
        raise InvalidRequestError(
            f"expires_at {reason}", details={"faults": [{"path": "expires_at", "reason": reason}]}
        )
