"""PutMetricData against an API of CloudWatch over a loopback socket, and against one that does not work."""

from __future__ import annotations

import asyncio
import gzip
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from observability import names
from observability.aws import open_client
from observability.cloudwatch import MAX_DATA, batches, data, put
from observability.distribution import Distribution
from observability.interval import Series
from observability.settings import TelemetrySettings
from observability.telemetry import Telemetry
from support.blackhole import answering, blackhole

pytestmark = pytest.mark.usefixtures("aws")


def settings(url: str, **more: Any) -> TelemetrySettings:
    return TelemetrySettings(metrics_sink="cloudwatch", aws_endpoint_url=url, **more)


def client_of(url: str) -> Any:
    return boto3.client("cloudwatch", endpoint_url=url, region_name="us-east-1")


def statistics(url: str, name: str, **dimensions: str) -> dict[str, float]:
    """Of all series that have these dimensions, and maybe more: s3_server, unlike CloudWatch, looks no closer."""
    now = datetime.now(UTC)
    points = client_of(url).get_metric_statistics(
        Namespace="MultiTenantChatbot",
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=86_400,
        Statistics=["Sum", "SampleCount", "Maximum"],
    )["Datapoints"]
    return {key: points[0][key] for key in ("Sum", "SampleCount", "Maximum")} if points else {}


async def test_a_services_metrics_are_in_cloudwatch_under_each_set_of_dimensions(s3_server: str) -> None:
    telemetry = Telemetry("router", settings(s3_server))
    async with telemetry.running():
        for tenant, route in (("t1", "A"), ("t1", "A"), ("t1", "B"), ("t2", "A")):
            telemetry.metrics.count(names.REQUEST_COUNT, tenant=tenant, route=route, status="200")
            telemetry.metrics.observe(names.REQUEST_LATENCY, 0.5, tenant=tenant, route=route)
    assert statistics(s3_server, "RequestCount", tenant="t1", route="A")["Sum"] == 2
    assert statistics(s3_server, "RequestLatency", tenant="t1", route="A")["Sum"] == pytest.approx(1.0)
    listed = client_of(s3_server).list_metrics(Namespace="MultiTenantChatbot", MetricName="RequestCount")["Metrics"]
    sets = {tuple(sorted((one["Name"], one["Value"]) for one in metric["Dimensions"])) for metric in listed}
    of_routes = {(("route", route), ("tenant", tenant)) for tenant, route in (("t1", "A"), ("t1", "B"), ("t2", "A"))}
    assert sets == {*of_routes, (("tenant", "t1"),), (("tenant", "t2"),), ()}
    assert statistics(s3_server, "TelemetryDropped") == {}


def test_each_set_of_dimensions_is_the_sum_over_the_others() -> None:
    counted = [Series(names.REQUEST_COUNT, (tenant, route), 2.0) for tenant in ("t1", "t2") for route in "AB"]
    full = [Series(names.KV_CACHE_USAGE, (pool,), usage) for pool, usage in (("pooled", 0.5), ("own", 0.9))]
    found = {
        (datum["MetricName"], *(one["Value"] for one in datum["Dimensions"])): datum["Value"]
        for datum in data([*counted, *full], at=0.0)
    }
    assert (found["RequestCount", "t1", "A"], found["RequestCount", "t1"], found["RequestCount",]) == (2.0, 4.0, 8.0)
    assert found["KvCacheUsage",] == 0.9  # a part of something: the fullest stands for all


def test_batches_keep_to_the_limits_of_a_request_and_lose_nothing() -> None:
    values = Distribution()
    for power in range(180):
        values.add(2e-5 * 1.1**power)
    series = [Series(names.REQUEST_LATENCY, (f"t{number}", "X"), values) for number in range(700)]
    found = list(data(series, at=time.time()))
    sent = list(batches(found))
    assert all(len(batch) <= MAX_DATA for batch in sent)
    assert all(len(datum["Values"]) <= 150 for batch in sent for datum in batch)
    assert [datum for batch in sent for datum in batch] == found
    whole = [datum for datum in found if not datum["Dimensions"]]
    assert sum(sum(datum["Counts"]) for datum in whole) == 700 * 180


def test_a_request_at_its_limits_is_less_than_a_megabyte_on_the_wire_and_compressed() -> None:
    values = Distribution()
    for power in range(180):
        values.add(1.23456789e-5 * 1.1**power)
    series = [Series(names.REQUEST_LATENCY, (f"{number:063}", "R" * 200), values) for number in range(200)]
    with answering() as (url, cloudwatch):
        client = open_client("cloudwatch", region="us-east-1", endpoint_url=url)
        for batch in batches(data(series, at=time.time())):
            try:
                put(client, batch)
            except Exception:  # noqa: BLE001, S112  what the imitation answers is none of CloudWatch's protocols
                continue
    assert cloudwatch.told
    for _, headers, body in cloudwatch.told:
        assert headers["content-encoding"] == "gzip"
        assert len(gzip.decompress(body)) < 1_000_000


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_a_cloudwatch_that_refuses_is_waited_for_by_nobody_and_what_is_lost_is_counted(status: int) -> None:
    with answering() as (url, cloudwatch):
        cloudwatch.status, cloudwatch.body = status, b'{"__type": "ThrottlingException"}'
        telemetry = Telemetry("router", settings(url))
        async with telemetry.running():
            telemetry.metrics.count(names.REQUEST_COUNT, tenant="t1", route="A", status="200")
    assert cloudwatch.told
    assert b'atrium_telemetry_dropped_total{reason="gave_up",sink="cloudwatch"} 1.0' in telemetry.metrics.render()


async def test_a_cloudwatch_that_never_answers_holds_up_neither_requests_nor_the_end() -> None:
    with blackhole() as url:
        telemetry = Telemetry("router", settings(url, metrics_interval_s=0.02))
        async with telemetry.running():
            for _ in range(50):
                telemetry.metrics.count(names.REQUEST_COUNT, tenant="t1", route="A", status="200")
                await asyncio.sleep(0.01)
            ending = time.monotonic()
        assert time.monotonic() - ending < 20  # of which the time-outs of AWS' client would be more
    assert b"atrium_telemetry_dropped_total{" in telemetry.metrics.render()
