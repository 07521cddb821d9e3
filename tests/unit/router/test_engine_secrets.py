"""A tenant's own engine in its config: the key is sealed before it is stored, the address is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.tenant import TenantId
from router.service.engine_secrets import EngineSecrets
from servicekit.outbound import parse_networks
from stores.sealing import SEALED, LocalSealing
from tenancy.config import TenantConfig

T1, T2 = TenantId("t1"), TenantId("t2")
KEY = "sk-a-key-of-the-tests"
SEALING = LocalSealing([b"k" * 32])
ENGINES = EngineSecrets(SEALING, parse_networks("127.0.0.0/8"))


def a_config(**changes: Any) -> TenantConfig:
    engine = {"base_url": "https://api.example.com/v1", "model": "large", "api_key": KEY} | changes
    return TenantConfig.model_validate({"external_engine": engine})


def key_of(config: TenantConfig) -> str:
    assert config.external_engine is not None
    return config.external_engine.api_key


async def test_the_key_is_sealed_and_nowhere_in_what_is_stored_or_printed() -> None:
    config = await ENGINES.sealed(T1, a_config())

    assert key_of(config).startswith(SEALED)
    assert await SEALING.unseal(T1, key_of(config)) == KEY
    assert KEY not in config.model_dump_json()
    assert KEY not in repr(a_config())


async def test_a_config_that_is_sent_back_as_it_was_read_stays_as_it_is() -> None:
    config = await ENGINES.sealed(T1, a_config())

    assert await ENGINES.sealed(T1, config) == config


async def test_another_tenants_sealed_key_is_of_no_use() -> None:
    stolen = key_of(await ENGINES.sealed(T1, a_config()))

    with pytest.raises(ValidationError) as error:
        await ENGINES.sealed(T2, a_config(api_key=stolen))
    assert error.value.errors()[0]["loc"] == ("external_engine", "api_key")


@pytest.mark.parametrize(
    "address", ["https://10.0.0.1", "https://169.254.169.254/v1", "http://api.example.com", "https://u:p@example.com"]
)
async def test_an_address_inside_is_refused_at_save_with_its_place(address: str) -> None:
    with pytest.raises(ValidationError) as error:
        await ENGINES.sealed(T1, a_config(base_url=address))
    assert error.value.errors()[0]["loc"] == ("external_engine", "base_url")
    assert KEY not in str(error.value)


async def test_the_platform_may_allow_a_network_of_its_own() -> None:
    config = await ENGINES.sealed(T1, a_config(base_url="http://127.0.0.1:9000/v1"))

    assert key_of(config).startswith(SEALED)


async def test_without_a_place_for_secrets_no_tenant_has_an_engine_of_its_own() -> None:
    nowhere = EngineSecrets(None)

    with pytest.raises(ValidationError, match="no engines of tenants' own"):
        await nowhere.sealed(T1, a_config())
    assert await nowhere.sealed(T1, TenantConfig()) == TenantConfig()


async def test_a_key_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValidationError, match="at most"):
        await ENGINES.sealed(T1, a_config(api_key="k" * 2_000))
