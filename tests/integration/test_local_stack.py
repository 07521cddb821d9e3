"""The supervisor of `atrium up`, over real processes: nothing of a stack outlives it, whatever ends it.

The children are dummies (tests/support/dummy_stack.py); the supervisor, the leash, the warden, the lock and the
search for leftovers are the real ones.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cli.local.data_dir import DataDir
from cli.local.leftovers import end_processes, find_leftovers
from cli.local.run_state import RunState

pytestmark = pytest.mark.slow

DUMMY_STACK = Path(__file__).parents[1] / "support" / "dummy_stack.py"
TIMEOUT_S = 30


@dataclass
class Run:
    process: subprocess.Popen[str]
    data_dir: DataDir

    def until(self, line: str) -> list[str]:
        """The lines up to this one."""
        seen: list[str] = []
        assert self.process.stdout is not None
        for text in self.process.stdout:
            seen.append(text.rstrip("\n"))
            if seen[-1].startswith(line):
                return seen
        pytest.fail(f"{line!r} never came: {seen} {self.process.communicate()[1]}")

    def end(self) -> tuple[int, str]:
        """Exit code and stderr."""
        _, errors = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, errors

    def members(self) -> list[psutil.Process]:
        """Every process of the stack but the supervisor; the engine's own child is among them."""
        found = find_leftovers(self.data_dir)
        assert int((self.data_dir.path / "grandchild").read_text()) in {process.pid for process in found}
        return found


class Starter:
    def __init__(self, data_dir: DataDir) -> None:
        self.data_dir = data_dir
        self._runs: list[subprocess.Popen[str]] = []

    def __call__(self, *options: str, before: tuple[str, ...] = ()) -> Run:
        command = [*before, sys.executable, str(DUMMY_STACK), str(self.data_dir.path), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._runs.append(process)
        return Run(process, self.data_dir)

    def clean_up(self) -> None:
        for process in self._runs:
            if process.poll() is None:
                process.kill()
            process.communicate()
        end_processes(find_leftovers(self.data_dir), term_s=0.1)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(DataDir.at(tmp_path / "data"))
    yield starter
    starter.clean_up()


def assert_all_ended(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=TIMEOUT_S)
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_child_the_callers_first(start: Starter, number: signal.Signals) -> None:
    run = start()
    run.until("READY")
    members = run.members()
    run.process.send_signal(number)
    code, errors = run.end()
    assert (code, errors) == (0, "")
    assert_all_ended(members)
    assert (run.data_dir.path / "order").read_text().split() == ["front", "engine", "store"]
    assert not run.data_dir.run_file.exists()


def test_a_signal_during_the_start_ends_what_has_started(start: Starter) -> None:
    run = start()
    run.until("store: starting")
    run.process.send_signal(signal.SIGINT)
    assert run.end()[0] == 0
    assert find_leftovers(run.data_dir) == []


def test_nothing_outlives_a_killed_supervisor(start: Starter) -> None:
    run = start()
    run.until("READY")
    members = run.members()
    run.process.kill()
    assert_all_ended(members)


def test_the_next_start_ends_what_a_killed_stack_left(start: Starter) -> None:
    """Also the warden is killed here: only the marker in its environment leads to the engine's child."""
    run = start()
    run.until("READY")
    members = run.members()
    warden = next(process for process in members if "cli.local.warden" in process.cmdline())
    warden.kill()
    run.process.kill()
    run.process.wait()
    second = start()
    lines = second.until("READY")
    assert int(lines[0].removeprefix("ENDED ")) >= 1
    assert_all_ended(members)


def test_a_stack_made_to_follow_its_parent_ends_with_it(start: Starter) -> None:
    """`make run` killed leaves nothing running."""
    run = start("--with-parent", before=("/bin/sh", "-c", '"$@" & wait', "sh"))
    run.until("READY")
    running = RunState.read(run.data_dir.run_file)
    assert running is not None
    supervisor = running.supervisor.process()
    assert supervisor is not None
    members = run.members()
    run.process.kill()
    assert_all_ended([supervisor, *members])


def kill(run: Run, name: str) -> None:
    running = RunState.read(run.data_dir.run_file)
    assert running is not None
    process = running.services[name].process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)


def test_a_child_that_ends_is_named_and_started_again_and_the_others_go_on(start: Starter) -> None:
    run = start()
    run.until("READY")
    before = RunState.read(run.data_dir.run_file)
    kill(run, "store")
    said = run.until("store is ready again")
    assert "store ended unasked: killed by SIGKILL" in "\n".join(said)
    after = RunState.read(run.data_dir.run_file)
    assert before is not None
    assert after is not None
    assert after.services["store"].process is not None
    assert after.services["store"].process != before.services["store"].process
    assert after.services["front"] == before.services["front"]


def test_a_child_that_ends_again_and_again_ends_the_stack(start: Starter) -> None:
    run = start()
    run.until("READY")
    members = run.members()
    for _ in range(2):
        kill(run, "engine")
        run.until("engine is ready again")
    kill(run, "engine")
    code, errors = run.end()
    assert code == 1
    assert "engine ended unasked: killed by SIGKILL" in errors
    assert_all_ended([*members, *find_leftovers(run.data_dir)])


def test_a_crash_during_the_start_is_named_with_the_end_of_its_log(start: Starter) -> None:
    run = start("--crash", "engine")
    code, errors = run.end()
    assert code == 1
    assert "engine ended unasked: exit code 1" in errors
    assert "this is why it crashed" in errors
    assert find_leftovers(run.data_dir) == []
    assert not run.data_dir.run_file.exists()


def test_only_this_runs_words_are_shown_of_a_log(start: Starter) -> None:
    start("--crash", "engine").end()
    log = start.data_dir.logs / "engine.log"
    log.write_text("something of yesterday\n" + log.read_text())
    _, errors = start("--crash", "engine").end()
    assert "yesterday" not in errors


def test_a_second_supervisor_on_the_same_data_directory_is_refused(start: Starter) -> None:
    first = start()
    first.until("READY")
    members = first.members()
    code, errors = start().end()
    assert code == 1
    assert "running already" in errors
    assert all(process.is_running() for process in members)


def test_down_stops_a_stack_and_then_has_nothing_to_do(start: Starter) -> None:
    run = start()
    run.until("READY")
    members = run.members()
    first = atrium("down", "--data-dir", str(run.data_dir.path))
    assert first.returncode == 0
    assert "Everything is stopped" in first.stderr
    assert_all_ended(members)
    assert run.end()[0] == 0
    second = atrium("down", "--data-dir", str(run.data_dir.path))
    assert second.returncode == 0
    assert "Nothing runs" in second.stderr


def test_status_tells_a_running_stack_from_a_stopped_one(start: Starter) -> None:
    run = start()
    run.until("READY")
    shown = atrium("status", "--json", "--data-dir", str(run.data_dir.path))
    assert shown.returncode == 0
    told = json.loads(shown.stdout)
    assert told["state"] == "ready"
    assert told["services"]["engine"]["state"] == "ready"
    run.process.send_signal(signal.SIGTERM)
    run.end()
    assert atrium("status", "--data-dir", str(run.data_dir.path)).returncode == 1


def test_a_taken_port_is_named_with_its_owner_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = atrium("up", "--port", str(port), "--data-dir", str(tmp_path), "--vllm-url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_an_engine_that_does_not_answer_is_said_before_anything_starts(tmp_path: Path, detach: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    done = atrium(
        "up",
        *detach,
        "--port",
        str(_free_port()),
        "--data-dir",
        str(tmp_path),
        "--vllm-url",
        f"http://127.0.0.1:{closed}",
    )
    assert done.returncode == 1
    assert f"no engine answers at http://127.0.0.1:{closed}" in done.stderr
    assert not (tmp_path / "postgres").exists()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def atrium(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
