"""The command line itself, and what is told while the stack starts."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.local.data_dir import DataDir
from cli.local.reporter import LineReporter, Message, WireReporter
from cli.local.wishes import Wishes
from cli.main import COMMANDS, app


def test_help_names_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in shown.output


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["fly"]).exit_code == 2


@pytest.mark.parametrize("command", ["chat", "tenant", "key", "audit"])
def test_a_client_command_does_not_load_the_stack(command: str) -> None:
    """`atrium chat` should answer quickly."""
    heavy = "{'sqlalchemy', 'alembic', 'psycopg', 'fastapi', 'redis'}"
    code = f"import sys, cli.commands.{command}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_wishes_survive_the_way_through_a_command_line(tmp_path: Path) -> None:
    wishes = Wishes(DataDir(tmp_path), 8090, "http://x", examples=False)
    assert wishes.arguments() == [
        *("--data-dir", str(tmp_path), "--port", "8090"),
        *("--no-examples", "--vllm-url", "http://x"),
    ]


def test_without_a_terminal_each_change_is_one_line() -> None:
    lines: list[str] = []
    reporter = LineReporter(lines.append)
    for state, note in (("waiting", ""), ("starting", ""), ("starting", "loading"), ("ready", "")):
        reporter.service("vllm", state, note)  # type: ignore[arg-type]
    assert lines == ["vllm: starting", "vllm: ready (0.0 s)"]


def test_a_detached_supervisor_tells_in_json_lines() -> None:
    wire = io.StringIO()
    reporter = WireReporter(wire)
    reporter.service("vllm", "starting", "loading")
    reporter.send(Message(error="no", hint="mend"))
    told = [Message.model_validate_json(line) for line in wire.getvalue().splitlines()]
    assert told == [Message(service="vllm", state="starting", note="loading"), Message(error="no", hint="mend")]
