"""Log records in CloudWatch Logs: through watchtower, over HTTP, and where that does not work."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from observability.cloudwatch_logs import MAX_WAITING, stream_name
from observability.logging import JsonFormatter, log
from observability.settings import TelemetrySettings
from observability.telemetry import Telemetry
from support.blackhole import answering, blackhole

pytestmark = pytest.mark.usefixtures("aws")
_logger = logging.getLogger("atrium.of-this-test")


@asynccontextmanager
async def shipping(url: str, group: str = "multi-tenant-chatbot") -> AsyncIterator[Telemetry]:
    """With a root logger that lets everything through, as `configure_logging` sets it."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    telemetry = Telemetry("router", TelemetrySettings(logs_sink="cloudwatch", log_group=group, aws_endpoint_url=url))
    try:
        async with telemetry.running():
            yield telemetry
    finally:
        root.setLevel(before)


def events(url: str, group: str) -> list[dict[str, Any]]:
    client = boto3.client("logs", endpoint_url=url, region_name="us-east-1")
    found = client.get_log_events(logGroupName=group, logStreamName=stream_name("router"), startFromHead=True)
    told = [json.loads(event["message"]) for event in found["events"]]
    return [
        event
        for event in told
        if event["logger"] == _logger.name or event["logger"].startswith(("botocore", "urllib3"))
    ]


async def _sent(url: str, group: str, records: int) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(ClientError):  # the group is made with the first batch
                if len(await asyncio.to_thread(events, url, group)) >= records:
                    return
            await asyncio.sleep(0.2)


async def test_records_are_in_the_group_in_a_stream_of_the_pod_and_service_as_json(s3_server: str) -> None:
    hostile = 'a"b\r\n\x1b[31m{"level": "error"}'
    async with shipping(s3_server) as telemetry:
        for number in range(1_200):
            log(_logger, logging.INFO, "request", tenant_id="t1", latency_ms=number, path=hostile)
        try:
            raise ValueError("alice@example.com")  # noqa: TRY301  its record is the test
        except ValueError:
            _logger.exception("it broke")
        await _sent(s3_server, "multi-tenant-chatbot", 1_201)  # the end itself does not wait for a slow machine
    found = events(s3_server, "multi-tenant-chatbot")
    assert [event["latency_ms"] for event in found[:1_200]] == list(range(1_200))
    assert (found[0]["path"], found[0]["service"], found[0]["tenant_id"]) == (hostile, "router", "t1")
    assert "ValueError: [EMAIL]" in found[1_200]["exception"]
    assert b"telemetry_dropped_total{" not in telemetry.metrics.render()


async def test_what_the_client_of_aws_logs_makes_no_records_that_are_sent(s3_server: str) -> None:
    async with shipping(s3_server, "quiet") as _:
        logging.getLogger("botocore.endpoint").warning("sent")
        logging.getLogger("urllib3.connectionpool").warning("sent")
        _logger.info("once")
    assert [event["message"] for event in events(s3_server, "quiet")] == ["once"]


async def test_stdout_has_only_warnings_meanwhile_and_all_again_afterwards(s3_server: str) -> None:
    stdout = logging.StreamHandler()
    stdout.setFormatter(JsonFormatter("router"))
    logging.getLogger().addHandler(stdout)
    try:
        async with shipping(s3_server, "levels"):
            assert stdout.level == logging.WARNING
        assert stdout.level == logging.NOTSET
    finally:
        logging.getLogger().removeHandler(stdout)


async def test_a_cloudwatch_that_refuses_is_tried_again_and_what_is_lost_is_counted() -> None:
    with answering() as (url, refusing):
        refusing.status, refusing.body = 400, b'{"__type": "ThrottlingException", "message": "slow down"}'
        async with shipping(url) as telemetry:
            for _ in range(10):
                _logger.info("x")
    text = telemetry.metrics.render().decode()
    (line,) = [line for line in text.splitlines() if line.startswith("atrium_telemetry_dropped_total{")]
    assert 'sink="logs"' in line
    assert float(line.split()[-1]) >= 10  # and what else the process logged meanwhile, of the sink itself above all


async def test_a_cloudwatch_that_never_answers_holds_nobody_up_and_memory_has_a_bound() -> None:
    with blackhole() as url:
        async with shipping(url) as telemetry:
            for _ in range(MAX_WAITING + 1_500):
                _logger.info("x")
            await asyncio.sleep(0)
            text = telemetry.metrics.render().decode()
    full = [line for line in text.splitlines() if 'reason="full",sink="logs"' in line]
    assert float(full[0].split()[-1]) >= 1_500 - 512  # but for what was under way


def test_a_stream_is_named_after_the_pod_and_the_service() -> None:
    assert stream_name("router", "router-7c9d:*x") == "router/router-7c9d--x"
