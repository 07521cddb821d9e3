"""Clients of AWS for telemetry: they fail fast, since whoever uses them tries again, and are loaded only when used."""

from __future__ import annotations

from typing import Any, Literal

CONNECT_S, READ_S = 2.0, 5.0


def open_client(service: Literal["cloudwatch", "logs"], *, region: str, endpoint_url: str | None) -> Any:
    """Credentials come from where boto3 always looks. It compresses the larger requests of CloudWatch by itself."""
    import boto3  # noqa: PLC0415  takes a third of a second, and nobody without such a sink needs it
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": 1},
        request_min_compression_size_bytes=1024,
    )
    return boto3.session.Session().client(service, region_name=region, endpoint_url=endpoint_url or None, config=config)
