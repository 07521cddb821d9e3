"""The whole promise: `atrium up` from nothing, two tenants, and answers that real vLLM generated."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest

from e2e.conftest import Running
from support.sse import events

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

OIL = "Which shop has the cheapest extra virgin olive oil?"
IRON = "Which foods are rich in iron?"


def eventually(condition: Callable[[], bool]) -> None:
    """Within a second."""
    until = time.monotonic() + 1
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_curl_that_is_printed_works(running: Running) -> None:
    printed = re.search(r"curl (?:.|\n)*?\n\n", running.said + "\n\n")
    assert printed, running.said
    command = printed.group().replace("\\\n", " ").strip()
    answer = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert '"answer"' in answer.stdout


def test_an_answer_is_what_vllm_generated_and_counted(running: Running) -> None:
    def counted() -> tuple[float, float]:
        names = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
        return running.engine_metric(names[0]), running.engine_metric(names[1])

    before = counted()
    with running.client("t1") as client:
        body = client.post("/chat", json={"query": OIL, "locale": "en-US"}).json()
    assert body["answer"].strip()
    assert body["route"] == "PRICE_COMPARE"
    assert body["citations"]
    usage = body["usage"]
    expected = before[0] + usage["prompt_tokens"], before[1] + usage["completion_tokens"]
    assert expected > before
    eventually(lambda: counted() == expected)  # vLLM counts just after it answers


def test_tokens_arrive_while_the_engine_still_generates(running: Running) -> None:
    body = {"query": "Tell me a long story about a shop by the river.", "stream": True}
    with running.client("t1") as client, client.stream("POST", "/chat", json=body) as answer:
        seen = [(name, time.perf_counter()) for name, _ in events(answer)]
    tokens = [at for name, at in seen if name == "token"]
    assert len(tokens) > 5
    assert len({round(at, 3) for at in tokens}) > 3
    assert seen[-1][1] - tokens[0] > 0.1
    assert seen[-1][0] == "done"


def test_neither_tenant_sees_the_others_documents(running: Running) -> None:
    titles = {}
    for tenant in ("t1", "t2"):
        with running.client(tenant) as client:
            titles[tenant] = {item["title"] for item in client.get(f"/tenant/{tenant}/documents").json()["items"]}
            for query in (OIL, IRON):
                found = client.post(f"/tenant/{tenant}/search", json={"query": query, "k": 50}).json()["passages"]
                assert {passage["title"] for passage in found} <= titles[tenant]
                cited = client.post("/chat", json={"query": query}).json()["citations"]
                assert {citation["title"] for citation in cited} <= titles[tenant]
    assert titles["t1"]
    assert titles["t2"]
    assert not titles["t1"] & titles["t2"]


def test_a_client_that_leaves_stops_the_generation_within_a_second(running: Running) -> None:
    body = {"query": "Tell me a very long story about a shop by the river.", "stream": True}
    with running.client("t1") as client, client.stream("POST", "/chat", json=body) as answer:
        coming = events(answer)  # kept: when this is dropped, the connection is closed
        while next(coming)[0] != "token":
            pass
        eventually(lambda: running.engine_metric("vllm:num_requests_running") == 1)
    eventually(lambda: running.engine_metric("vllm:num_requests_running") == 0)


def test_one_tenants_prefix_cache_is_not_anothers(running: Running) -> None:
    """The same long question: the second time of the same tenant hits the KV prefix cache, another tenant's not."""
    query = "Tell me about the weather. " + "It was a quiet day by the river and nothing happened. " * 60

    def hits(tenant: str) -> float:
        before = running.engine_metric("vllm:prefix_cache_hits_total")
        with running.client(tenant) as client:
            client.post("/chat", json={"query": query}).raise_for_status()
        return running.engine_metric("vllm:prefix_cache_hits_total") - before

    hits("t1")
    assert hits("t1") > 100
    assert hits("t2") < 20


def test_the_command_streams_an_answer_and_ingests_a_file(
    running: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    note = tmp_path_factory.mktemp("note") / "lantern.md"
    note.write_text("# Lanterns\n\nThe copper lantern of the harbour shop costs 31.50 euros.\n")
    ingested = running.atrium("ingest", "--tenant", "t1", str(note))
    assert ingested.returncode == 0, ingested.stdout + ingested.stderr
    asked = running.atrium("chat", "--tenant", "t1", "How much is the copper lantern?")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert asked.stdout.strip()


def test_down_leaves_nothing(running: Running) -> None:
    """Last in this file: it ends the stack."""
    marked = [process for process in psutil.process_iter() if str(running.data_dir) in " ".join(_cmdline(process))]
    assert marked
    down = running.atrium("down")
    assert down.returncode == 0, down.stdout + down.stderr
    _, alive = psutil.wait_procs(marked, timeout=20)
    assert not alive


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
