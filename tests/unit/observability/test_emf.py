"""Whatever was recorded, the documents are such as CloudWatch takes, and nothing is lost in them."""

from __future__ import annotations

import io
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability import names
from observability.distribution import Distribution
from observability.emf import MAX_METRICS, documents
from observability.interval import Interval, Series
from observability.names import CloudWatch, Metric
from observability.settings import TelemetrySettings
from observability.telemetry import Telemetry
from support.emf import checked

AT = 1_795_000_000_000


def interval(service: names.Service = "router", **options: Any) -> tuple[Interval, list[str]]:
    dropped: list[str] = []
    return Interval(service, dropped=lambda _number, reason: dropped.append(reason), **options), dropped


def told(found: list[Series]) -> list[dict[str, Any]]:
    return [checked(line) for line in documents(found, service="router", at_ms=AT)]


TEXT = st.text(max_size=300)
RECORDED = st.lists(st.tuples(st.sampled_from(names.ALL), TEXT, TEXT, st.floats(0, 1e6)), max_size=60)


@settings(deadline=None)
@given(RECORDED, st.sampled_from(names.SERVICES))
def test_every_document_is_valid_whatever_the_dimensions_are(
    recorded: list[tuple[Metric, str, str, float]], service: names.Service
) -> None:
    sink, _ = interval(service)
    for metric, first, second, value in recorded:
        dimensions = dict(zip(metric.dimensions, (first, second, first), strict=False))
        if metric.kind == "counter":
            sink.count(metric, value, **dimensions)
        elif metric.kind == "gauge":
            sink.level(metric, value, **dimensions)
        else:
            sink.observe(metric, value, **dimensions)
    for document in told(sink.take()):
        assert document["_aws"]["Timestamp"] == AT
        (directive,) = document["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "MultiTenantChatbot"


def test_metrics_of_the_same_dimensions_share_a_document_and_each_set_of_them_is_asked_for() -> None:
    sink, _ = interval()
    labels = {"tenant": "t1", "route": "PRICE_COMPARE"}
    for status in ("200", "200", "429"):
        sink.count(names.REQUEST_COUNT, status=status, **labels)
    for latency in (0.1, 0.1001, 2.0):
        sink.observe(names.REQUEST_LATENCY, latency, **labels)
    sink.count(names.TOKEN_USAGE, 10, kind="prompt", **labels)
    sink.count(names.TOKEN_USAGE, 5, kind="completion", **labels)
    (document,) = told(sink.take())
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["tenant", "route"], ["tenant"], []]
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units == {"RequestCount": "Count", "RequestLatency": "Seconds", "TokenUsage": "Count"}
    assert (document["tenant"], document["route"], document["service"]) == ("t1", "PRICE_COMPARE", "router")
    assert (document["RequestCount"], document["TokenUsage"]) == (3.0, 15.0)
    latency = document["RequestLatency"]
    assert latency["Counts"] == [2, 1]
    assert (latency["Count"], latency["Sum"]) == (3, pytest.approx(2.2001))
    assert sink.take() == []


def test_a_request_is_counted_by_the_router_alone() -> None:
    for service in ("orchestrator", "rag"):
        sink, _ = interval(service)
        sink.count(names.REQUEST_COUNT, tenant="t1", route="X", status="200")
        sink.observe(names.REQUEST_LATENCY, 1.0, tenant="t1", route="X")
        assert sink.take() == []
    sink, _ = interval("orchestrator")
    sink.level(names.ENGINE_QUEUE_DEPTH, 3, pool="pooled")
    assert [series.metric.name for series in sink.take()] == ["EngineQueueDepth"]


def test_a_gauge_is_told_in_every_interval_and_a_count_once() -> None:
    sink, _ = interval("orchestrator")
    sink.gauge(names.ACTIVE_STREAMS, 1)
    sink.gauge(names.ACTIVE_STREAMS, 1)
    assert [series.found for series in sink.take()] == [2.0]
    sink.gauge(names.ACTIVE_STREAMS, -1)
    assert [series.found for series in sink.take()] == [1.0]
    assert [series.found for series in sink.take()] == [1.0]


def test_a_long_distribution_goes_on_in_a_second_document() -> None:
    sink, _ = interval()
    for power in range(180):
        sink.observe(names.REQUEST_LATENCY, 2e-5 * 1.1**power, tenant="t", route="X")
    found = [document["RequestLatency"] for document in told(sink.take())]
    assert [len(part["Values"]) for part in found] == [100, 80]
    assert sum(part["Count"] for part in found) == 180


def test_more_metrics_than_a_document_may_have_are_spread_over_several() -> None:
    how = CloudWatch((("tenant",),))
    many = [
        Series(Metric(f"M{number}", "counter", "count", ("tenant",), "", cloudwatch=how), ("t",), 1.0)
        for number in range(250)
    ]
    sizes = [len(document["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for document in told(many)]
    assert sizes == [MAX_METRICS, MAX_METRICS, 50]


def test_long_distributions_are_spread_over_documents_of_a_size_that_cloudwatch_takes() -> None:
    how, values = CloudWatch((("tenant",),)), Distribution()
    for power in range(100):
        values.add(1.23456789e-5 * 1.1**power)
    many = [
        Series(Metric("M" * 900 + str(number), "histogram", "seconds", ("tenant",), "", cloudwatch=how), ("t",), values)
        for number in range(100)
    ]
    found = told(many)
    assert len(found) > 1
    assert sum(len(document["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for document in found) == 100


def test_more_series_than_an_interval_may_have_are_dropped_and_counted() -> None:
    sink, dropped = interval(max_series=10)
    for number in range(15):
        sink.count(names.REQUEST_COUNT, tenant=f"t{number}", route="X", status="200")
    sink.count(names.REQUEST_COUNT, tenant="t3", route="X", status="200")
    sink.observe(names.REQUEST_LATENCY, 1.0, tenant="t3", route="X")
    values = Counter({series.values[0]: int(series.found) for series in sink.take() if not _long(series)})
    assert (len(values), values["t3"], dropped) == (10, 2, ["series"] * 6)


def _long(series: Series) -> bool:
    return isinstance(series.found, Distribution)


async def test_a_service_prints_its_documents_and_those_of_the_last_interval_at_its_end() -> None:
    stdout = io.StringIO()
    settings = TelemetrySettings(metrics_sink="emf", metrics_interval_s=3_600)
    telemetry = Telemetry("router", settings, stdout=stdout)
    before = time.time()
    async with telemetry.running():
        telemetry.metrics.count(names.REQUEST_COUNT, tenant="t1", route="X", status="200")
        assert stdout.getvalue() == ""
    up, document = sorted((checked(line.encode()) for line in stdout.getvalue().splitlines()), key=len)
    assert (up["ProcessesUp"], up["component"]) == (1, "router")
    assert document["RequestCount"] == 1
    assert before - 1 <= document["_aws"]["Timestamp"] / 1000 <= time.time() + 1


async def test_without_a_sink_nothing_is_printed_and_prometheus_is_told_all_the_same() -> None:
    stdout = io.StringIO()
    telemetry = Telemetry("router", TelemetrySettings(metrics_sink="none"), stdout=stdout)
    async with telemetry.running():
        telemetry.metrics.count(names.REQUEST_COUNT, tenant="t1", route="X", status="200")
    assert stdout.getvalue() == ""
    assert b'tenant="t1"' in telemetry.metrics.render()
