"""The data directory and the files in it: private, replaced whole, refused when the disk is full."""

from __future__ import annotations

import errno
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from cli.errors import CliError
from cli.local.data_dir import DataDir, disk_error
from cli.local.lock import InstanceLock, is_locked
from cli.local.logs import MAX_BYTES, open_log, tail
from cli.local.run_state import ProcessId, RunState
from cli.local.secrets import Secrets


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_private_and_its_identity_is_its_place(tmp_path: Path) -> None:
    data_dir = DataDir.at(tmp_path / "a" / "b")
    data_dir.create()
    assert mode(data_dir.path) == 0o700
    assert data_dir.instance == DataDir.at(tmp_path / "a" / ".." / "a" / "b").instance
    assert data_dir.instance != DataDir.at(tmp_path / "a").instance


def test_too_little_room_is_said_with_how_much_there_is(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"no disk space: \d+ MB free at .*, 1099511627776 MB are needed"):
        DataDir.at(tmp_path).require_space(1 << 60)


def test_a_full_disk_is_told_from_other_faults() -> None:
    full = disk_error(OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    assert full is not None
    assert full.message == "no disk space left at /data/x"
    assert disk_error(PermissionError(errno.EACCES, "denied")) is None


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = Secrets.load_or_create(path, {})
    assert mode(path) == 0o600
    assert first.platform_key.startswith("atr_")
    assert len(first.platform_key) == len("atr_") + 43
    assert Secrets.load_or_create(path, {}) == first


def test_the_environments_keys_serve_for_a_new_store(tmp_path: Path) -> None:
    other = Secrets.load_or_create(tmp_path / "other.json", {})
    wanted = {"ATRIUM_BOOTSTRAP_KEY": "atr_mine", "SERVICE_SIGNING_KEY": other.service_signing_key}
    made = Secrets.load_or_create(tmp_path / "secrets.json", wanted)
    assert (made.platform_key, made.service_signing_key) == ("atr_mine", other.service_signing_key)


def test_a_signing_key_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="SERVICE_SIGNING_KEY"):
        Secrets.load_or_create(tmp_path / "secrets.json", {"SERVICE_SIGNING_KEY": "changeme"})
    assert not (tmp_path / "secrets.json").exists()


def test_run_json_is_private_and_read_back(tmp_path: Path) -> None:
    me = ProcessId.of(psutil.Process().pid)
    assert me is not None
    path = tmp_path / "run.json"
    written = RunState(
        instance="i", supervisor=me, router_url="http://127.0.0.1:1", started_at=datetime.now(UTC), services={}
    )
    written.write(path)
    assert mode(path) == 0o600
    assert RunState.read(path) == written
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("content", ["", "{", '{"state": "ready"}', json.dumps([1])])
def test_a_run_json_that_is_none_of_ours_means_that_nothing_runs(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    assert RunState.read(tmp_path / "run.json") is None


def test_a_pid_that_was_given_to_another_process_is_not_ours() -> None:
    me = ProcessId.of(psutil.Process().pid)
    assert me is not None
    assert me.process() is not None
    assert ProcessId(pid=me.pid, create_time=me.create_time - 60).process() is None


def test_one_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    first, second = InstanceLock(path), InstanceLock(path)
    assert first.acquire()
    assert not second.acquire()
    assert is_locked(path)
    first.release()
    assert second.acquire()
    second.release()


def test_a_log_that_has_grown_is_put_aside_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    with open_log(path) as log:
        log.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "a.log.1").stat().st_size == MAX_BYTES + 1
    assert mode(path) == 0o600


def test_the_end_of_a_log_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    entry = {"level": "error", "message": "no", "exception": "Traceback\n  file\nValueError: why", "more": "x" * 99}
    path.write_text("old\n" + json.dumps(entry) + "\n\nplain\n")
    assert tail(path, since=4) == ["error: no: ValueError: why", "plain"]
    assert tail(tmp_path / "none.log") == []
