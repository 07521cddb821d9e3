"""run.json: what runs on a data directory, for `atrium status`, `down`, `chat` and whoever else asks."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, Self

import psutil
from pydantic import BaseModel, ValidationError

from cli.local.private_file import write_private

StackState = Literal["starting", "ready", "stopping"]
ServiceState = Literal["waiting", "starting", "ready", "stopping", "stopped", "failed", "external"]


class ProcessId(BaseModel):
    """A pid says nothing alone: it is used again. With the time of its start it names one process."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> Self | None:
        try:
            return cls(pid=pid, create_time=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def process(self) -> psutil.Process | None:
        """None when it has ended."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.create_time) < 0.01
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class ServiceRecord(BaseModel):
    state: ServiceState = "waiting"
    url: str
    port: int | None = None
    log: str | None = None
    process: ProcessId | None = None


class RunState(BaseModel):
    """`objects`: the URL of the object store."""

    state: StackState = "starting"
    instance: str
    supervisor: ProcessId
    router_url: str
    started_at: datetime
    services: dict[str, ServiceRecord]
    objects: str = ""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """None where nothing runs; also for a file that no version of ours wrote."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, path: Path) -> None:
        write_private(path, self.model_dump_json(indent=2))
