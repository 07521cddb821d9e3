"""Ports and leftovers: what belongs to a stack, told by what it carries."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.leftovers import end_processes, find_leftovers, marked
from cli.local.ports import PortClaims, is_free


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    code = "import signal; print('up', flush=True); signal.pause()"
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_leftovers_are_those_with_this_data_directorys_marker(tmp_path: Path) -> None:
    ours, theirs = DataDir.at(tmp_path / "ours"), DataDir.at(tmp_path / "theirs")
    mine, other, plain = start(marked({}, ours.instance)), start(marked({}, theirs.instance)), start({})
    try:
        assert [process.pid for process in find_leftovers(ours)] == [mine.pid]
        assert end_processes(find_leftovers(ours)) == []
        assert find_leftovers(ours) == []
        assert other.poll() is None
        assert plain.poll() is None
    finally:
        for process in (mine, other, plain):
            process.kill()
            process.communicate()


def test_a_process_that_ignores_the_request_is_forced(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path)
    code = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
    environment = marked({}, data_dir.instance)
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert end_processes(find_leftovers(data_dir), term_s=0.1) == []


def test_this_process_and_those_above_it_are_never_leftovers(tmp_path: Path) -> None:
    """`atrium down` called from a shell of the stack's own environment must not end itself."""
    data_dir = DataDir.at(tmp_path)
    code = (
        "import sys, pathlib; from cli.local.data_dir import DataDir; from cli.local.leftovers import find_leftovers;"
        "print(find_leftovers(DataDir.at(pathlib.Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=marked(dict(os.environ), data_dir.instance),
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n"


def test_a_taken_port_is_named_with_its_owner_and_the_next_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CliError, match=rf"port {port} is taken by .*\(pid {os.getpid()}\)") as refused:
            PortClaims().require(port)
    assert refused.value.hint.endswith(f"--port {port + 1}")


def test_an_inner_service_moves_out_of_the_way_of_a_taken_port() -> None:
    claims = PortClaims()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        moved = claims.prefer(port)
    assert moved != port
    assert is_free(moved)
    claims.release()


@pytest.mark.skipif(sys.platform != "linux", reason="claims are names in Linux's abstract socket namespace")
def test_two_stacks_that_start_side_by_side_choose_different_ports() -> None:
    first, second = PortClaims(), PortClaims()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert first.prefer(port) == port
    assert second.prefer(port) != port
    with pytest.raises(CliError, match="a stack that is just starting"):
        second.require(port)
    first.release()
    second.release()
