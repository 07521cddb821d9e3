"""A config is saved only if the platform can do what it asks for; what is stored is loaded whatever it asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from contracts.tenant import TenantId
from router.service.policies import Policies
from servicekit.cpu_pool import CpuPool
from support.policies import BORN
from tenancy.config import TenantConfig, Tier
from tenancy.ports import Revision, TenantRecord, TenantState

T1 = TenantId("t1")
ASKED = {"moderation": {"stages": ["output"]}}


@pytest.fixture
def pool() -> Iterator[CpuPool]:
    pool = CpuPool("configs", 1)
    yield pool
    pool.close()


async def test_moderation_without_a_service_is_refused_with_its_place(pool: CpuPool) -> None:
    with pytest.raises(ValidationError, match="no moderation service") as caught:
        await Policies(pool).checked(T1, ASKED, Tier.BASIC)
    assert caught.value.errors()[0]["loc"] == ("moderation", "stages")
    stored = TenantRecord(T1, Revision(BORN, 1, TenantState.ACTIVE), TenantConfig.model_validate(ASKED))
    with pytest.raises(ValidationError, match="no moderation service"):
        await Policies(pool).candidate(stored, ASKED, Tier.BASIC)
    assert (await Policies(pool).of(stored)).config.moderation.stages == ("output",)


async def test_with_a_service_and_without_a_stage_it_is_saved(pool: CpuPool) -> None:
    assert (await Policies(pool, moderated=True).checked(T1, ASKED, Tier.BASIC)).moderation.stages == ("output",)
    unasked = {"moderation": {"on_failure": "open"}}
    assert (await Policies(pool).checked(T1, unasked, Tier.BASIC)).moderation.stages == ()
