"""What `atrium doctor` looks at: each check is a sentence, and how to mend what it found."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil

from cli.engine.choice import HOW_EXTERNAL, Engine, Machine, choose
from cli.engine.environment import EngineEnvironment
from cli.engine.external import find_dialect
from cli.engine.model import bundled_model
from cli.engine.server import EngineServer
from cli.errors import CliError
from cli.local.data_dir import NEEDED_BYTES, DataDir
from cli.local.leftovers import find_leftovers
from cli.local.lock import is_locked
from cli.local.ports import is_free, listener
from cli.local.postgres import binary
from cli.local.run_state import RunState

_NEEDED_MEMORY = 4 << 30


@dataclass(frozen=True)
class Finding:
    """`mend` says what to do where `ok` is False."""

    ok: bool
    text: str
    mend: str = ""


def examine(data_dir: DataDir, port: int, environment: Mapping[str, str]) -> list[Finding]:
    running = is_locked(data_dir.lock)
    checks: list[Callable[[], Finding]] = [
        _python,
        _stores,
        *([_setpriv] if os.getuid() == 0 else []),
        lambda: _engine(environment),
        lambda: _engine_environment(environment),
        lambda: _model(environment),
        lambda: _disk(data_dir),
        _memory,
        lambda: _data_dir(data_dir, running=running),
        lambda: _objects(data_dir, environment),
        lambda: _port(data_dir, port, running=running),
        lambda: _leftovers(data_dir, running=running),
    ]
    return [_found(check) for check in checks]


def _found(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except CliError as error:
        return Finding(ok=False, text=error.message, mend=error.hint)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(
        sys.version_info >= (3, 11), f"Python {version} at {sys.prefix}", "Python 3.11 or newer: make clean setup"
    )


def _stores() -> Finding:
    found = Path(binary("postgres")).exists()
    return Finding(found, "PostgreSQL and Valkey are installed", "make setup")


def _setpriv() -> Finding:
    found = shutil.which("setpriv")
    return Finding(
        found is not None,
        f"setpriv, to run PostgreSQL as another user than root: {found or 'missing'}",
        "install util-linux, or run as another user",
    )


def _engine(environment: Mapping[str, str]) -> Finding:
    choice = choose(environment, Machine.here())
    if choice.engine is not Engine.EXTERNAL:
        return Finding(
            ok=True, text=f"engine: {choice.engine} ({choice.reason})" + f"; {choice.caution}" * bool(choice.caution)
        )
    url = environment.get("VLLM_SERVICE_URL")
    if not url:
        return Finding(ok=False, text=f"engine: external ({choice.reason})", mend=HOW_EXTERNAL)
    return Finding(ok=True, text=f"engine: external, answers at {url}, dialect {find_dialect(url)}")


def _engine_environment(environment: Mapping[str, str]) -> Finding:
    choice = choose(environment, Machine.here())
    if choice.engine is Engine.EXTERNAL:
        return Finding(ok=True, text="no engine environment is needed")
    virtual = EngineEnvironment.of(choice.engine, environment)
    state = "is up to date" if virtual.is_current() else "is missing or older than its requirements"
    return Finding(virtual.is_current(), f"engine environment {virtual.path} {state}", "atrium engine prepare")


def _model(environment: Mapping[str, str]) -> Finding:
    choice = choose(environment, Machine.here())
    if choice.engine is Engine.EXTERNAL:
        return Finding(ok=True, text="the model is the external engine's")
    virtual = EngineEnvironment.of(choice.engine, environment)
    server = EngineServer.of(virtual, environment)
    there = not server.is_bundled or (bundled_model(virtual) / "config.json").exists()
    return Finding(there, f"model {server.name}" + " is not prepared" * (not there), "atrium engine prepare")


def _disk(data_dir: DataDir) -> Finding:
    place = next(path for path in (data_dir.path, *data_dir.path.parents) if path.exists())
    free = shutil.disk_usage(place).free
    return Finding(free >= NEEDED_BYTES, f"disk: {free / (1 << 30):.1f} GB free at {place}", "make room, or --data-dir")


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    return Finding(
        free >= _NEEDED_MEMORY, f"memory: {free / (1 << 30):.1f} GB available", "4 GB are needed with vLLM on CPU"
    )


def _data_dir(data_dir: DataDir, *, running: bool) -> Finding:
    if running:
        return Finding(ok=True, text=f"a stack runs on {data_dir.path}")
    if not data_dir.path.exists():
        return Finding(ok=True, text=f"data directory {data_dir.path} will be made")
    return Finding(
        os.access(data_dir.path, os.W_OK), f"data directory {data_dir.path}", "it must be writable: --data-dir"
    )


def _objects(data_dir: DataDir, environment: Mapping[str, str]) -> Finding:
    url = environment.get("OBJECT_STORE_URL")
    parts = urlsplit(url or data_dir.objects.as_uri())
    if parts.scheme != "file":
        return Finding(ok=True, text=f"object store: {url}, not looked at from here")
    folder = Path(unquote(parts.path))
    place = next(path for path in (folder, *folder.parents) if path.exists())
    writable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    state = "is not writable" if not writable else "is there" if place == folder else "will be made"
    return Finding(writable, f"object store folder {folder} {state}", f"make {place} a folder that you may write to")


def _port(data_dir: DataDir, port: int, *, running: bool) -> Finding:
    state = RunState.read(data_dir.run_file)
    if running and state and state.router_url.endswith(f":{port}"):
        return Finding(ok=True, text=f"port {port} is this stack's own")
    owner = listener(port)
    return Finding(
        is_free(port),
        f"port {port} is free" if is_free(port) else f"port {port} is taken" + f" by {owner}" * bool(owner),
        f"end that process, or atrium up --port {port + 1}",
    )


def _leftovers(data_dir: DataDir, *, running: bool) -> Finding:
    left = [] if running else find_leftovers(data_dir)
    return Finding(not left, f"{len(left) or 'no'} processes left by an earlier run", "atrium down")
