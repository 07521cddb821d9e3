"""The client's side of the API: events, what `atrium chat` shows, and the examples."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from cli.client.api import Api
from cli.client.sse import ServerEvent, read_events
from cli.commands.chat import show
from cli.console import printable
from cli.errors import CliError
from cli.examples import read_examples, title_of
from cli.local.summary import curl
from contracts.chat import ChatRequest
from tenancy.config import TenantConfig

SEVEN_FIELDS = {
    "tenant_id",
    "blocked_tools",
    "sensitive_prompt_patterns",
    "refusal_rules",
    "rate_limit_per_minute",
    "rate_limit_per_hour",
    "allowed_routes",
}
CITATION = {"chunk_id": "c", "document_id": "d", "title": "Prices", "score": 0.5, "snippet": "s"}


def test_events_are_read_and_heartbeats_skipped() -> None:
    lines = [b": keep-alive\n", b"\n", b"event: token\n", b'data: {"text": "a"}\n', b"\n", b"event: done\r\n"]
    lines += [b"data: {}\r\n", b"\r\n", b"event: cut\n", b"data: {}\n"]
    assert list(read_events(lines)) == [ServerEvent("token", {"text": "a"}), ServerEvent("done", {})]


def test_an_answer_is_shown_as_it_comes_and_then_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        ServerEvent("meta", {}),
        ServerEvent("token", {"text": "Seven"}),
        ServerEvent("token", {"text": " euros\x1b[31m"}),
    ]
    show([*events, ServerEvent("citations", {"citations": [CITATION]}), ServerEvent("done", {})])
    assert capsys.readouterr().out.startswith("Seven euros[31m\n")


def test_a_refusal_has_an_exit_code_of_its_own() -> None:
    refusal = {"reason": "r", "rule_id": "x", "stage": "input", "message": "no"}
    with pytest.raises(typer.Exit) as ended:
        show([ServerEvent("refusal", refusal)])
    assert ended.value.exit_code == 3


@pytest.mark.parametrize("events", [[], [ServerEvent("token", {"text": "a"})]])
def test_an_answer_that_breaks_off_is_an_error(events: list[ServerEvent]) -> None:
    with pytest.raises(CliError, match="broke off"):
        show(events)


def test_an_error_event_is_an_error() -> None:
    with pytest.raises(CliError, match=r"the engine failed \(upstream_error\)"):
        show([ServerEvent("error", {"error": {"code": "upstream_error", "message": "the engine failed"}})])


def test_nothing_a_model_says_moves_the_cursor() -> None:
    assert printable("a\x1b[2Jb\r\x00\x9bc\td\n") == "a[2Jbc\td\n"


def test_a_key_is_not_in_a_printed_client() -> None:
    assert "atr_secret" not in repr(Api("http://x", key="atr_secret"))


def test_the_printed_curl_is_a_valid_request() -> None:
    words = shlex.split(curl("http://127.0.0.1:8080"))
    assert words[:3] == ["curl", "-s", "http://127.0.0.1:8080/chat"]
    assert str(ChatRequest.model_validate_json(words[words.index("-d") + 1]).tenant_id) == "t1"


def test_the_examples_are_two_tenants_with_valid_configs_and_documents() -> None:
    examples = read_examples()
    assert [example.tenant_id for example in examples] == ["t1", "t2"]
    for example in examples:
        assert set(example.config) == SEVEN_FIELDS
        assert example.config["tenant_id"] == example.tenant_id
        TenantConfig.model_validate({k: v for k, v in example.config.items() if k != "tenant_id"})
        assert 3 <= len(example.documents) <= 5


def test_the_examples_documents_are_disjoint_and_of_a_sensible_size() -> None:
    pattern = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    stems = [document.stem for example in read_examples() for document in example.documents]
    assert len(set(stems)) == len(stems)
    for example in read_examples():
        for document in example.documents:
            assert pattern.match(document.stem)
            assert 150 <= len(document.read_text(encoding="utf-8").split()) <= 600


def test_a_documents_title_is_its_heading_or_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Olive oil\n\ntext")
    (tmp_path / "some-notes.txt").write_text("text")
    assert title_of(tmp_path / "a.md") == "Olive oil"
    assert title_of(tmp_path / "some-notes.txt") == "Some notes"
