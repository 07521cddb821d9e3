"""A trace through the whole stack: from the client's header to the engine's, and into a collector."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.blackhole import Answering, answering, blackhole
from support.postgres import Postgres
from support.stack import Stack, running_stack

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OFFERED = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
SDK = "opentelemetry.sdk"


def ask(stack: Stack, tenant: str, *, stream: bool = False, **headers: str) -> httpx.Response:
    body = {"query": "which milk is the cheapest, per litre?", "stream": stream}
    with stack.client(tenant) as client:
        answer = client.post("/chat", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def test_with_tracing_off_the_clients_trace_reaches_the_engine_as_it_came(stack: Stack) -> None:
    ask(stack, stack.new_tenant(), **OFFERED)
    assert stack.imitation.asked[-1].traceparent == OFFERED["traceparent"]


@pytest.mark.parametrize("offered", [{}, {"traceparent": "00-evil"}, {"traceparent": f"00-{'0' * 32}-{SPAN}-01"}])
def test_with_tracing_off_none_is_made_up_and_a_bad_one_goes_nowhere(stack: Stack, offered: dict[str, str]) -> None:
    ask(stack, stack.new_tenant(), **offered)
    assert stack.imitation.asked[-1].traceparent is None


def test_with_tracing_off_neither_opentelemetry_nor_boto3_nor_watchtower_is_loaded_for_telemetry() -> None:
    program = (
        "import sys; from observability.telemetry import Telemetry; from observability.settings import"
        " TelemetrySettings; Telemetry('router', TelemetrySettings());"
        " print(sorted({'opentelemetry', 'boto3', 'watchtower', 'langsmith', 'requests'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.fixture
def collected(
    stack_postgres: Postgres, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Stack, Answering]]:
    """A stack that tells an imitated collector of every request."""
    with answering() as (url, collector):
        collector.body = b""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1")
        with running_stack(stack_postgres.url, valkey_url) as stack:
            yield stack, collector


def spans(collector: Answering, *, trace_id: str, until: set[str]) -> dict[str, dict[str, Any]]:
    """By name; the server's spans, by service. Waited for."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415  not installed everywhere
        ExportTraceServiceRequest,
    )

    found: dict[str, dict[str, Any]] = {}
    for _ in range(100):
        for path, _headers, body in list(collector.told):
            assert path == "/v1/traces"
            request = ExportTraceServiceRequest.FromString(body)
            for of_resource in request.resource_spans:
                service = next(
                    item.value.string_value for item in of_resource.resource.attributes if item.key == "service.name"
                )
                for span in (span for scope in of_resource.scope_spans for span in scope.spans):
                    if span.trace_id.hex() == trace_id:
                        name = service if span.kind == span.SPAN_KIND_SERVER else span.name
                        attributes = {item.key: item.value.string_value for item in span.attributes}
                        found[name] = {
                            "id": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "failed": span.status.code == span.status.STATUS_CODE_ERROR,
                            "s": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                            **attributes,
                        }
        if until <= found.keys():
            break
        time.sleep(0.1)  # the collector is told in batches
    return found


NODES = {"classify", "first token", "stream", "cite"}
"""Of the orchestrator's graph; `generate` is the wait for its first token, and the stream. What has nothing to do is
passed by: `memory`, `record`."""
NAMES = {"identity", "admission", "queue wait", "settle"} | NODES
SERVICES = {"atrium-router", "atrium-orchestrator", "atrium-rag"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_one_trace_from_the_client_to_the_engine(
    collected: tuple[Stack, Answering], *, stream: bool
) -> None:
    stack, collector = collected
    tenant = stack.new_tenant()
    ask(stack, tenant, stream=stream, **OFFERED, **{"x-request-id": "req-1"})
    found = spans(collector, trace_id=TRACE, until=NAMES | SERVICES | {"retrieve"})
    assert found.keys() >= NAMES | SERVICES
    router, orchestrator = found["atrium-router"], found["atrium-orchestrator"]
    assert (router["parent"], orchestrator["parent"]) == (SPAN, router["id"])
    assert found["atrium-rag"]["parent"] == orchestrator["id"]
    assert {found[name]["parent"] for name in ("identity", "admission", "queue wait", "settle")} == {router["id"]}
    assert {found[name]["parent"] for name in NODES} == {orchestrator["id"]}
    assert {(one["tenant_id"], one["request_id"]) for one in found.values()} == {(tenant, "req-1")}
    assert all(0 <= one["s"] < 60 for one in found.values())
    assert stack.imitation.asked[-1].traceparent == f"00-{TRACE}-{orchestrator['id']}-01"
    assert "cheapest" not in str(collector.told)


def test_what_is_remembered_and_summarised_is_in_the_trace(collected: tuple[Stack, Answering]) -> None:
    stack, collector = collected
    with stack.client(stack.new_tenant()) as client:
        for number in range(14):  # more turns than go with a question: the older half is summarised
            body = {"query": f"question {number} tokens:2", "session_id": "long", "user_id": "u1"}
            client.post("/chat", json=body, headers=OFFERED).raise_for_status()
    found = spans(collector, trace_id=TRACE, until={"memory", "record", "atrium-orchestrator"})
    assert {"memory", "record"} <= found.keys()


@pytest.mark.parametrize(
    ("query", "error", "failed"), [("fault:http500 hello", "upstream_error", True), ("", "invalid_request", False)]
)
def test_what_fails_through_our_fault_is_an_error_of_the_trace_and_a_clients_mistake_is_none(
    collected: tuple[Stack, Answering], query: str, error: str, *, failed: bool
) -> None:
    stack, collector = collected
    with stack.client(stack.new_tenant()) as client:
        assert client.post("/chat", json={"query": query}, headers=OFFERED).is_error
    router = spans(collector, trace_id=TRACE, until={"atrium-router"})["atrium-router"]
    assert (router["error.type"], router["failed"]) == (error, failed)


def test_what_a_client_says_of_sampling_decides_nothing(
    stack_postgres: Postgres, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering() as (url, collector):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
        with running_stack(stack_postgres.url, valkey_url) as stack:
            ask(stack, stack.new_tenant(), **OFFERED)
            handed_on = stack.imitation.asked[-1].traceparent or ""
    assert handed_on.startswith(f"00-{TRACE}-")
    assert handed_on.endswith("-00")
    assert not collector.told


def test_a_collector_that_never_answers_holds_up_no_request_and_the_loss_is_counted(
    stack_postgres: Postgres, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with blackhole() as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1")
        monkeypatch.setattr("observability.otlp.MAX_WAITING", 4)
        with running_stack(stack_postgres.url, valkey_url) as stack:
            tenant = stack.new_tenant()
            for _ in range(12):
                ask(stack, tenant)
            metrics = httpx.get(f"{stack.router}/metrics").text
    assert 'atrium_telemetry_dropped_total{reason="full",sink="traces"}' in metrics
