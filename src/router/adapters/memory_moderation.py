"""Moderation in memory, for tests: what is unfit is a list of words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from contracts.errors import ModerationUnavailableError
from contracts.tenant import TenantId
from router.domain.moderation import PASSED, Moderated, flagged_for
from tenancy.config import ModerationStage


class Asked(NamedTuple):
    tenant_id: TenantId
    text: str
    stage: ModerationStage


class MemoryModeration:
    """`unfit`: words, each with its category. While `down` is set there is no verdict."""

    def __init__(self, unfit: Mapping[str, str] | None = None) -> None:
        self.unfit = dict(unfit or {})
        self.down = False
        self.asked: list[Asked] = []

    async def judge(self, tenant_id: TenantId, text: str, *, stage: ModerationStage) -> Moderated:
        self.asked.append(Asked(tenant_id, text, stage))
        if self.down:
            raise ModerationUnavailableError("the moderation service does not answer")
        found = [category for word, category in self.unfit.items() if word in text]
        return flagged_for(*found) if found else PASSED
