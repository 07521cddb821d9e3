"""Tenants: onboarded, listed, suspended, resumed."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from contracts.errors import ConflictError, IdempotencyMismatchError
from contracts.tenant import TenantId
from router.domain.policy import Policy
from servicekit.tokens import utc_now
from tenancy.audit import Actor
from tenancy.config import TenantConfig
from tenancy.feed import ChangeFeed
from tenancy.keys import derived_key, new_key
from tenancy.live import LiveTenants
from tenancy.ports import KeyStore, Onboarding, TenantState, TenantStore, TenantSummary


@dataclass(frozen=True, slots=True)
class Onboarded:
    """`admin_key` is shown once; to a repeated request with the same Idempotency-Key, once more."""

    admin_key: str


class TenantService:
    def __init__(
        self, store: TenantStore, keys: KeyStore, live: LiveTenants[Policy], feed: ChangeFeed, *, key_secret: bytes
    ) -> None:
        self._store = store
        self._keys = keys
        self._live = live
        self._feed = feed
        self._key_secret = key_secret

    async def create(
        self, tenant_id: TenantId, config: TenantConfig, *, by: Actor, idempotency_key: str | None, request: bytes
    ) -> Onboarded:
        """`request` is what was asked, as bytes. Raises ConflictError if the tenant exists, IdempotencyMismatchError
        if the Idempotency-Key was used for another request."""
        if idempotency_key is None:
            key = new_key()
            await self._store.create(tenant_id, config, key, by=by)
            self._live.forget(tenant_id)
            return Onboarded(key.text)
        nonce = secrets.token_bytes(32)
        wanted = Onboarding(
            key_hash=hashlib.sha256(f"{by.name}\x00{idempotency_key}".encode()).digest(),
            request_hash=hashlib.sha256(request).digest(),
            nonce=nonce,
        )
        key = derived_key(self._key_secret, nonce)
        try:
            await self._store.create(tenant_id, config, key, by=by, onboarding=wanted)
        except ConflictError:
            return await self._repeated(tenant_id, wanted)
        self._live.forget(tenant_id)
        return Onboarded(key.text)

    async def list(self, after: str, limit: int) -> list[TenantSummary]:
        return await self._store.list(after, limit)

    async def set_state(self, tenant_id: TenantId, state: TenantState, *, by: Actor) -> TenantSummary:
        """Governs every request admitted one second later. Raises NotFoundError."""
        found = await self._store.set_state(tenant_id, state, by=by)
        self._live.forget(tenant_id)
        await self._feed.announce(tenant_id)
        return found

    async def _repeated(self, tenant_id: TenantId, wanted: Onboarding) -> Onboarded:
        """The answer of the first time, if this is the same request again; its key is derived, not stored."""
        made = await self._store.onboarding(tenant_id)
        if made is None or made.key_hash != wanted.key_hash:
            raise ConflictError(f"the tenant {tenant_id} exists already")
        if made.request_hash != wanted.request_hash:
            raise IdempotencyMismatchError("this Idempotency-Key was used for another request")
        key = derived_key(self._key_secret, made.nonce)
        holder = await self._keys.find(key.key_hash)
        if holder is None or (holder.expires_at is not None and holder.expires_at <= utc_now()):
            # Revoked since, or the router's secret is another one by now: no key is better than one that opens nothing.
            raise ConflictError(f"the tenant {tenant_id} exists already, and its first admin key cannot be shown again")
        return Onboarded(key.text)
