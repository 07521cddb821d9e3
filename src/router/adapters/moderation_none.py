"""No moderation service: nothing can be said of any text."""

from __future__ import annotations

from contracts.errors import ModerationUnavailableError
from contracts.tenant import TenantId
from router.domain.moderation import Moderated
from tenancy.config import ModerationStage


class NoModeration:
    """Never "it passes": a config that asks for moderation, stored when there was a service, fails as it says."""

    async def judge(self, tenant_id: TenantId, text: str, *, stage: ModerationStage) -> Moderated:
        raise ModerationUnavailableError("this platform has no moderation service")
