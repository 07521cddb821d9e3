"""Replicas that are found are not counted once more by the address of their Service."""

from __future__ import annotations

import pytest

from app.settings import Discovery
from support.rendered import Object, overlay, settings_of, variant, with_components


@pytest.mark.parametrize("objects", [overlay("staging"), overlay("production"), variant("base+scale-to-zero")])
def test_where_engines_are_found_no_address_of_one_is_set(objects: tuple[Object, ...]) -> None:
    settings = settings_of(objects, "atrium-orchestrator")
    assert Discovery(settings["VLLM_DISCOVERY"]) is Discovery.KUBERNETES
    assert settings["VLLM_SERVICE_URL"] == ""


def test_a_tenants_own_pool_is_found_as_well() -> None:
    settings = settings_of(with_components("siloed-tenant", "engine-discovery"), "atrium-orchestrator")
    assert settings["VLLM_SERVICE_URL"] == ""
