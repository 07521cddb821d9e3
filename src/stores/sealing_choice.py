"""Which Sealing a service has, by its settings."""

from __future__ import annotations

from contextlib import AsyncExitStack

from servicekit.settings import OutboundSettings
from stores.sealing import LocalSealing, RememberedSealing, Sealing, parse_sealing_keys


def open_sealing(settings: OutboundSettings, stack: AsyncExitStack) -> Sealing | None:
    """KMS where a key of it is named, else the keys that are given; None where there is neither. `stack` closes it.

    Raises ValueError for keys that are none."""
    sealing = _chosen(settings)
    if sealing is not None:
        stack.push_async_callback(sealing.close)
    return sealing


def _chosen(settings: OutboundSettings) -> Sealing | None:
    if settings.kms_key_id:
        from stores.sealing_kms import KmsSealing  # noqa: PLC0415  boto3 takes half a second

        kms = KmsSealing(settings.kms_key_id, region=settings.aws_region, endpoint_url=settings.aws_endpoint_url)
        return RememberedSealing(kms)
    keys = settings.sealing_key_text()
    return LocalSealing(parse_sealing_keys(keys)) if keys else None
