"""Builds the tenant context that the services behind the router are given."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.context import Role, TenantContext
from contracts.tenant import TenantId
from router.domain.caller import Caller
from tenancy.audit import Actor


@dataclass(frozen=True, slots=True)
class Asker:
    """The person behind a request, in the words of the tenant's application."""

    user_id: str
    session_id: str


class ContextFactory:
    """`salt_secret` never leaves the router: a tenant cannot compute another's cache salt."""

    def __init__(
        self, *, salt_secret: bytes, now: Callable[[], datetime], unsalted_pools: Collection[str] = ()
    ) -> None:
        """`unsalted_pools`: in which tenants share their prefix cache, as the platform has said."""
        self._salt_secret = salt_secret
        self._unsalted_pools = unsalted_pools
        self._now = now

    def build(self, caller: Caller, asker: Asker, within: timedelta, *, pool: str | None = None) -> TenantContext:
        """`within`, from now, is the deadline of everything that is done for the request. `pool`: the one in which it
        has its place, where that is not its tenant's own."""
        policy = caller.policy
        pool = pool or policy.pool
        return TenantContext(
            tenant_id=policy.tenant_id,
            tenant_born=policy.revision.born,
            user_id=asker.user_id,
            roles=(caller.principal.role,),
            session_id=asker.session_id,
            request_id=caller.request_id,
            config_version=policy.version,
            allowed_routes=policy.config.allowed_routes,
            model_pool=pool,
            deadline=self._now() + within,
            cache_salt="" if pool in self._unsalted_pools else self._salt(policy.tenant_id, policy.revision.born),
            log_content=policy.config.log_content,
        )

    def for_platform(
        self, tenant_id: TenantId, by: Actor, within: timedelta, *, born: datetime | None = None
    ) -> TenantContext:
        """For work that is no person's request. Without `born`: on a tenant that is being deleted."""
        return TenantContext(
            tenant_id=tenant_id,
            tenant_born=born,
            user_id=by.name,
            roles=(Role.SERVICE,),
            session_id=by.request_id,
            request_id=by.request_id,
            config_version=0,
            deadline=self._now() + within,
        )

    def _salt(self, tenant_id: TenantId, born: datetime) -> str:
        """A tenant that is made again under an old id shares no prefix cache with the earlier one."""
        text = f"cache-salt:{tenant_id}:{born.timestamp()}"
        return hmac.new(self._salt_secret, text.encode(), hashlib.sha256).hexdigest()[:32]
