"""Turns in LangSmith, against a sink that speaks its ingest API: `POST /runs/batch` with whole runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.blackhole import Answering, answering, blackhole
from support.postgres import Postgres
from support.stack import Stack, running_stack

SECRET = "alice@example.com"


@pytest.fixture
def told(
    stack_postgres: Postgres, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Stack, Answering]]:
    with answering() as (url, sink):
        sink.status = 202
        monkeypatch.setenv("LANGSMITH_ENDPOINT", url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "ls-key")
        monkeypatch.setenv("LANGSMITH_TRACING", "true")  # must not set off LangGraph's own
        with running_stack(stack_postgres.url, valkey_url) as stack:
            yield stack, sink


def runs(sink: Answering, number: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(100):
        found = [run for _, _, body in list(sink.told) for run in json.loads(body)["post"]]
        if len(found) >= number:
            break
        time.sleep(0.1)  # it is told in batches
    return found


def ask(stack: Stack, tenant: str) -> None:
    with stack.client(tenant) as client:
        assert client.post("/chat", json={"query": f"cheapest milk? tell {SECRET}"}).status_code == 200


def test_each_tenant_has_a_project_and_texts_are_hidden_unless_it_allows_them(told: tuple[Stack, Answering]) -> None:
    stack, sink = told
    closed, open_ = stack.new_tenant("closed"), stack.new_tenant("open", log_content=True)
    ask(stack, closed)
    ask(stack, open_)
    found = {run["session_name"]: run for run in runs(sink, 2)}
    assert found.keys() == {f"atrium-{closed}", f"atrium-{open_}"}
    hidden, shown = found[f"atrium-{closed}"], found[f"atrium-{open_}"]
    assert (hidden["inputs"], hidden["outputs"]) == ({}, {})
    assert shown["inputs"] == {"prompt": "cheapest milk? tell [EMAIL]"}
    assert shown["outputs"]["answer"]
    assert SECRET not in str(sink.told)
    metadata = hidden["extra"]["metadata"]
    assert (metadata["tenant_id"], metadata["route"] != "") == (closed, True)
    assert metadata["usage_metadata"]["total_tokens"] > 0
    assert hidden["start_time"] < hidden["events"][0]["time"] <= hidden["end_time"]
    assert hidden["dotted_order"].endswith(hidden["id"])
    assert {path for path, _, _ in sink.told} == {"/runs/batch"}
    assert {headers["x-api-key"] for _, headers, _ in sink.told} == {"ls-key"}


def test_a_langsmith_that_never_answers_holds_up_no_turn_and_the_loss_is_counted(
    stack_postgres: Postgres, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with blackhole() as url:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "ls-key")
        monkeypatch.setattr("observability.langsmith_runs.MAX_WAITING", 2)
        with running_stack(stack_postgres.url, valkey_url) as stack:
            tenant = stack.new_tenant()
            for _ in range(8):
                ask(stack, tenant)
            metrics = httpx.get(f"{stack.orchestrator}/metrics").text
    assert 'atrium_telemetry_dropped_total{reason="full",sink="langsmith"}' in metrics
