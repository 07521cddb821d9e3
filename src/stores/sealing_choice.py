"""Which Sealing a service has, by its settings."""

from __future__ import annotations

from stores.sealing import LocalSealing, RememberedSealing, Sealing, parse_sealing_keys


def open_sealing(
    keys: str | None, kms_key_id: str | None, *, region: str | None = None, endpoint_url: str | None = None
) -> Sealing | None:
    """KMS where a key of it is named, else the keys that are given; None where there is neither."""
    if kms_key_id:
        from stores.sealing_kms import KmsSealing  # noqa: PLC0415  boto3 takes half a second

        return RememberedSealing(KmsSealing(kms_key_id, region=region, endpoint_url=endpoint_url))
    return LocalSealing(parse_sealing_keys(keys)) if keys else None
