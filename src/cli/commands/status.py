"""`atrium status`: what runs on a data directory."""

from __future__ import annotations

import json

import typer
from rich.table import Table
from rich.text import Text

from cli.commands.options import DataDirOption, JsonOption
from cli.console import ERR, OUT
from cli.local.data_dir import DataDir
from cli.local.leftovers import find_leftovers
from cli.local.run_state import RunState, ServiceRecord

app = typer.Typer(add_completion=False)
_COLOURS = {"ready": "green", "external": "green", "dead": "bold red", "failed": "bold red"}


@app.command()
def status(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show each service, its state, pid and address. Exit code 0 when the stack is ready, else 1."""
    chosen = DataDir.at(data_dir)
    found = RunState.read(chosen.run_file)
    alive = found is not None and found.supervisor.process() is not None
    if as_json:
        OUT.print(json.dumps(_as_json(chosen, found if alive else None), indent=2), markup=False)
    elif found is None or not alive:
        _not_running(chosen)
    else:
        OUT.print(_table(found))
        OUT.print(f"\n{found.state} · supervisor pid {found.supervisor.pid} · {chosen.path}", style="dim", markup=False)
    raise typer.Exit(0 if found is not None and alive and found.state == "ready" else 1)


def _not_running(data_dir: DataDir) -> None:
    ERR.print(f"Nothing runs on {data_dir.path}.", markup=False)
    if leftovers := find_leftovers(data_dir):
        ERR.print(f"But {len(leftovers)} processes of an earlier run are left: atrium down", style="yellow")


def _state(record: ServiceRecord) -> str:
    """`dead`: its process has ended and its supervisor has not noticed yet."""
    gone = record.process is not None and record.process.process() is None
    return "dead" if gone and record.state == "ready" else record.state


def _table(found: RunState) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("service", "state", "pid"):
        table.add_column(heading, no_wrap=True)
    table.add_column("url", overflow="fold")
    for name, record in found.services.items():
        state = _state(record)
        pid = str(record.process.pid) if record.process else "-"
        table.add_row(Text(name, style="bold"), Text(state, style=_COLOURS.get(state, "yellow")), pid, Text(record.url))
    return table


def _as_json(data_dir: DataDir, found: RunState | None) -> dict[str, object]:
    if found is None:
        return {"state": "stopped", "data_dir": str(data_dir.path), "services": {}}
    services = {
        name: {
            "state": _state(record),
            "pid": record.process.pid if record.process else None,
            "url": record.url,
            "log": record.log,
        }
        for name, record in found.services.items()
    }
    return {
        "state": found.state,
        "data_dir": str(data_dir.path),
        "url": found.router_url,
        "pid": found.supervisor.pid,
        "services": services,
    }
