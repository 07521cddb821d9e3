"""Nothing but a service account's token, as in a pod on EKS: boto3's default chain makes credentials of it."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from contracts.tenant import TenantId
from observability import names
from observability.cloudwatch_logs import stream_name
from observability.logging import log
from observability.settings import TelemetrySettings
from observability.telemetry import Telemetry
from stores.objects import open_objects

pytestmark = pytest.mark.usefixtures("aws")
GROUP, TENANT = "of-a-web-identity", TenantId("web-identity")
_logger = logging.getLogger("atrium.of-a-web-identity")


@pytest.fixture
def aws_server(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """moto's address, and an environment as Kubernetes makes one for a pod with a role. There are no other keys."""
    token = tmp_path / "token"
    token.write_text("header.payload.signature", encoding="ascii")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/atrium-router")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    found = boto3.session.Session().get_credentials()
    assert found is not None
    assert found.method == "assume-role-with-web-identity"
    return s3_server


def lines() -> list[dict[str, Any]]:
    found = boto3.client("logs").get_log_events(logGroupName=GROUP, logStreamName=stream_name("router"))
    return [json.loads(event["message"]) for event in found["events"]]


async def test_metrics_and_records_get_to_cloudwatch(aws_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)
    settings = TelemetrySettings(
        metrics_sink="cloudwatch", logs_sink="cloudwatch", log_group=GROUP, aws_endpoint_url=aws_server
    )
    telemetry = Telemetry("router", settings)
    async with telemetry.running():
        telemetry.metrics.count(names.REQUEST_COUNT, tenant=str(TENANT), route="A", status="200")
        log(_logger, logging.INFO, "request", tenant_id=str(TENANT))
        async with asyncio.timeout(60):
            told: list[dict[str, Any]] = []
            while not told:
                with suppress(ClientError):  # the group is made with the first batch
                    told = [line for line in await asyncio.to_thread(lines) if line["logger"] == _logger.name]
                await asyncio.sleep(0.1)
    assert [line["tenant_id"] for line in told] == [str(TENANT)]
    listed = boto3.client("cloudwatch").list_metrics(
        Namespace=names.NAMESPACE, MetricName="RequestCount", Dimensions=[{"Name": "tenant", "Value": str(TENANT)}]
    )
    assert listed["Metrics"]
    assert b"telemetry_dropped_total{" not in telemetry.metrics.render()


async def test_objects_are_kept_in_s3(aws_server: str) -> None:
    boto3.client("s3").create_bucket(Bucket="web-identity")
    objects = open_objects("s3://web-identity/x", region="us-east-1", endpoint_url=aws_server)
    try:
        await objects.put(TENANT, "a", b"kept")
        assert await objects.get(TENANT, "a") == b"kept"
    finally:
        await objects.close()
