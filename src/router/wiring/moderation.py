"""The platform's moderation service, as the settings name it."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp

from observability.metrics import Metrics
from router.adapters.moderation_bounded import BoundedModeration, ModerationService
from router.adapters.moderation_http import HttpModeration
from router.adapters.moderation_none import NoModeration
from router.ports import Moderation
from router.settings import Settings


def open_moderation(
    settings: Settings, session: aiohttp.ClientSession, metrics: Metrics, stack: AsyncExitStack
) -> Moderation:
    if not settings.moderated:
        return NoModeration()
    service: ModerationService
    if settings.moderation_url is not None:
        key = settings.moderation_api_key
        service = HttpModeration(
            session,
            settings.moderation_url,
            api_key=key.get_secret_value() if key is not None else None,
            model=settings.moderation_model,
        )
    else:
        service = _guardrail(settings, stack)
    return BoundedModeration(service, metrics, timeout_s=settings.moderation_timeout_s)


def _guardrail(settings: Settings, stack: AsyncExitStack) -> ModerationService:
    from router.adapters.moderation_bedrock import BedrockModeration  # noqa: PLC0415  boto3 takes half a second

    assert settings.bedrock_guardrail_id is not None  # noqa: S101  proved by the settings, as the next
    assert settings.bedrock_guardrail_version is not None  # noqa: S101
    service = BedrockModeration(
        settings.bedrock_guardrail_id,
        settings.bedrock_guardrail_version,
        region=settings.aws_region,
        endpoint_url=settings.bedrock_endpoint_url or settings.aws_endpoint_url,
        timeout_s=settings.moderation_timeout_s,
    )
    stack.callback(service.close)
    return service
