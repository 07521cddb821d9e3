"""Keeps run.json true while the stack runs."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.run_state import ProcessId, RunState, ServiceRecord, ServiceState, StackState
from cli.local.stack import Stack


class RunRecord:
    """Written at each change, not at each look."""

    def __init__(self, data_dir: DataDir, stack: Stack) -> None:
        supervisor = ProcessId.of(os.getpid())
        if supervisor is None:
            raise CliError("this process cannot be looked up")
        self._path = data_dir.run_file
        external = {name: ServiceRecord(state="external", url=url) for name, url in stack.external.items()}
        own = {
            service.name: ServiceRecord(
                url=service.url, port=service.port, log=str(data_dir.logs / f"{service.name}.log")
            )
            for service in stack.services
        }
        self._state = RunState(
            instance=data_dir.instance,
            supervisor=supervisor,
            router_url=stack.router_url,
            started_at=datetime.now(UTC),
            services=external | own,
            objects=stack.objects,
        )
        self._state.write(self._path)

    def service(self, name: str, state: ServiceState, process: ProcessId | None) -> None:
        record = self._state.services[name]
        if (record.state, record.process) != (state, process):
            record.state, record.process = state, process
            self._state.write(self._path)

    def stack(self, state: StackState) -> None:
        self._state.state = state
        self._state.write(self._path)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
