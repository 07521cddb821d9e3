"""Where the keys for tenants' own engines are sealed, as the settings say."""

from __future__ import annotations

from contextlib import AsyncExitStack

from router.service.engine_secrets import EngineSecrets
from router.settings import Settings
from stores.sealing_choice import open_sealing


def open_engine_secrets(settings: Settings, stack: AsyncExitStack) -> EngineSecrets:
    sealing = open_sealing(
        settings.sealing_key_text(),
        settings.kms_key_id,
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
    )
    if sealing is not None:
        stack.push_async_callback(sealing.close)
    return EngineSecrets(sealing, settings.networks())
