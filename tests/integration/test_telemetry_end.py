"""A service that ends waits for its sinks together, not one after another, and for a bounded time."""

from __future__ import annotations

import logging
from time import monotonic

import pytest

from observability import names
from observability.settings import TelemetrySettings
from observability.telemetry import CLOSE_S, Telemetry
from observability.tracing import span
from support.blackhole import blackhole

pytestmark = pytest.mark.usefixtures("aws")


async def test_where_no_sink_answers_the_end_takes_as_long_as_one_of_them_is_waited_for() -> None:
    with blackhole() as url:
        settings = TelemetrySettings(
            metrics_sink="cloudwatch",
            logs_sink="cloudwatch",
            aws_endpoint_url=url,
            otel_exporter_otlp_endpoint=url,
            otel_traces_sampler_arg=1.0,
        )
        telemetry = Telemetry("router", settings)
        async with telemetry.running():
            telemetry.metrics.count(names.REQUEST_COUNT, tenant="t1", route="GENERAL")
            logging.getLogger("atrium.of-this-test").warning("the last word")
            with span("a span"):
                pass
            ended = monotonic()
        assert monotonic() - ended < 2 * CLOSE_S
