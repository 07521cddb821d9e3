"""Engines of tenants' own, in their configs: the address is checked, and the key is never stored as it was said."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.external import ExternalEngine
from contracts.tenant import TenantId
from router.domain.config_fault import config_fault
from servicekit.outbound import Network, check_url
from stores.sealing import MAX_SECRET_CHARS, SEALED, Sealing, UnsealError
from tenancy.config import TenantConfig

_FIELD = "external_engine"


class EngineSecrets:
    """`sealing` None: this platform keeps no secrets, so no tenant has such an engine. `networks`: where one may be,
    beside public addresses."""

    def __init__(self, sealing: Sealing | None, networks: Sequence[Network] = ()) -> None:
        self._sealing = sealing
        self._networks = tuple(networks)

    async def sealed(self, tenant_id: TenantId, config: TenantConfig) -> TenantConfig:
        """The config as it may be stored. Raises pydantic's ValidationError and DependencyDownError."""
        engine = config.external_engine
        if engine is None:
            return config
        if self._sealing is None:
            raise config_fault("no_secrets", "this platform has no engines of tenants' own", (_FIELD,))
        try:
            check_url(engine.base_url, self._networks)
        except ValueError as error:
            raise config_fault("address", str(error), (_FIELD, "base_url")) from None
        key = await self._key(self._sealing, tenant_id, engine)
        return config.model_copy(update={_FIELD: engine.model_copy(update={"api_key": key})})

    async def _key(self, sealing: Sealing, tenant_id: TenantId, engine: ExternalEngine) -> str:
        """Sealed; one that was read from a config and is sent back stays as it is, if it is this tenant's."""
        where = (_FIELD, "api_key")
        if not engine.api_key.startswith(SEALED):
            if len(engine.api_key) > MAX_SECRET_CHARS:
                raise config_fault("too_long", f"a key has at most {MAX_SECRET_CHARS} characters", where)
            return await sealing.seal(tenant_id, engine.api_key)
        try:
            await sealing.unseal(tenant_id, engine.api_key)
        except UnsealError as error:
            raise config_fault("sealed", str(error), where) from None
        return engine.api_key
