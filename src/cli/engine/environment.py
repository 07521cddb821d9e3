"""The engine's own environment, beside the app's: made by uv from hashed requirements, again when they change."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.engine.choice import Engine
from cli.errors import CliError
from cli.local.data_dir import disk_error
from cli.local.leash import leashed
from cli.progress import working

ROOT = Path(__file__).resolve().parents[3]
NEEDED_BYTES = {Engine.CPU: 5 * 1024**3, Engine.GPU: 15 * 1024**3}
_STAMP = ".atrium-lock"


@dataclass(frozen=True)
class EngineEnvironment:
    path: Path
    engine: Engine

    @classmethod
    def of(cls, engine: Engine, environment: Mapping[str, str]) -> EngineEnvironment:
        chosen = environment.get("ATRIUM_ENGINE_VENV")
        return cls(Path(chosen).expanduser().resolve() if chosen else Path(sys.prefix).parent / ".venv-engine", engine)

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def requirements(self) -> Path:
        return ROOT / "requirements" / f"engine-{self.engine}.txt"

    @property
    def models(self) -> Path:
        return self.path / "share" / "atrium" / "models"

    def is_current(self) -> bool:
        """Made from exactly these requirements, and to its end."""
        try:
            return self.python.exists() and (self.path / _STAMP).read_text(encoding="ascii") == self._wanted_stamp()
        except FileNotFoundError:
            return False

    def make(self) -> None:
        """Takes about four minutes and 3.2 GB for the CPU engine when nothing is cached. Raises CliError."""
        self._require_space()
        environment = uv_environment(os.environ)
        (self.path / _STAMP).unlink(missing_ok=True)
        with working(f"Installing the {self.engine} engine into {self.path} (about 4 minutes when nothing is cached)"):
            if not self.python.exists():
                _uv(["venv", "--quiet", "--clear", "--python", sys.executable, str(self.path)], environment)
            target = ["--python", str(self.python), "--require-hashes", str(self.requirements)]
            _uv(["pip", "sync", "--quiet", *target], environment)
        (self.path / _STAMP).write_text(self._wanted_stamp(), encoding="ascii")

    def _wanted_stamp(self) -> str:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return f"{self.engine} {version} {hashlib.sha256(self.requirements.read_bytes()).hexdigest()}\n"

    def _require_space(self) -> None:
        free, needed = shutil.disk_usage(self.path.parent).free, NEEDED_BYTES[self.engine]
        if free < needed and not self.python.exists():
            raise CliError(
                f"no disk space: {free >> 20} MB free at {self.path.parent}, the engine needs {needed >> 20} MB",
                hint="make room, or put it elsewhere with ATRIUM_ENGINE_VENV",
            )


def uv_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """uv reads none of pip's settings; the CPU build of torch may lie where pip is told to look."""
    found = {**environment, "UV_PYTHON_DOWNLOADS": "never"}
    found.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    if not found.get("UV_FIND_LINKS"):
        links = environment.get("PIP_FIND_LINKS") or _pip_find_links()
        found["UV_FIND_LINKS"] = ",".join(links.split())
    return found


def _pip_find_links() -> str:
    command = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _uv(arguments: list[str], environment: Mapping[str, str]) -> None:
    beside = Path(sys.prefix) / "bin" / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise CliError("uv is not installed", hint="make setup")
    try:
        done = subprocess.run(
            leashed([uv, *arguments]), check=False, capture_output=True, text=True, env=dict(environment)
        )
    except OSError as error:
        raise disk_error(error) or CliError(f"uv cannot be run: {error}") from error
    if done.returncode != 0:
        raise CliError(f"the engine could not be installed:\n{done.stderr.strip()}", hint=_hint(done.stderr))


def _hint(problem: str) -> str:
    if "No space left" in problem:
        return "make room on the disk, or put the engine elsewhere with ATRIUM_ENGINE_VENV"
    if re.search(r"torch[ =].*\+cpu", problem):
        return "where the CPU build of torch can be had: docs/development.md, or use another engine: --vllm-url"
    return "again: make setup; or use an engine of your own: atrium up --vllm-url URL"
