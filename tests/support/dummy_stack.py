"""A real supervisor over dummy services, as a process of its own:  python dummy_stack.py DATA_DIR [--crash NAME …]

The services write a file when they are up, and a line to `order` when they are told to end. `engine` has a child in
another session that nothing but its marker gives away, as vLLM's engine process outlives its API server.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from cli.console import show_error
from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.leash import follow_parent, leashed
from cli.local.leftovers import marked
from cli.local.reporter import LineReporter
from cli.local.service import Health, Service
from cli.local.session import Hooks, run_stack, sole_supervisor
from cli.local.stack import Stack

_CHILD = """
import os, pathlib, signal, subprocess, sys
name, folder, crash, grandchild = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3] == "crash", sys.argv[4] == "yes"
def end(*_):
    with open(folder / "order", "a") as order:
        order.write(name + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, signal.SIG_IGN)
if crash:
    sys.exit("this is why it crashed")
if grandchild:
    waiting = [sys.executable, "-c", "import signal\\nwhile True: signal.pause()"]
    other = subprocess.Popen(waiting, start_new_session=True)
    (folder / "grandchild").write_text(str(other.pid))
(folder / f"{name}.up").touch()
while True:
    signal.pause()
"""


def dummy(name: str, data_dir: DataDir, *, crash: bool, stage: int, after: tuple[str, ...] = ()) -> Service:
    up = data_dir.path / f"{name}.up"
    arguments = [name, str(data_dir.path), "crash" if crash else "-", "yes" if name == "engine" else "no"]
    return Service(
        name=name,
        command=lambda: leashed([sys.executable, "-c", _CHILD, *arguments]),
        environment=marked({}, data_dir.instance),
        health=lambda: Health(ready=up.exists()),
        prepare=lambda: up.unlink(missing_ok=True),
        url=f"dummy://{name}",
        after=after,
        stage=stage,
    )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(data_dir: DataDir, crash: list[str]) -> None:
    data_dir.create()
    services = (
        dummy("store", data_dir, crash="store" in crash, stage=2),
        dummy("engine", data_dir, crash="engine" in crash, stage=1),
        dummy("front", data_dir, crash="front" in crash, stage=0, after=("store",)),
    )
    stack = Stack(services=services, external={}, router_url="http://127.0.0.1:1")
    hooks = Hooks(load=lambda: None, ready=lambda: say("READY"), stopping=lambda: None, trouble=say)
    with sole_supervisor(data_dir) as ended:
        say(f"ENDED {ended}")
        reporter = LineReporter(say)
        asyncio.run(run_stack(data_dir, stack, reporter, hooks, restart_pause_s=0.1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--crash", action="append", default=[])
    parser.add_argument("--with-parent", action="store_true")
    chosen = parser.parse_args()
    if chosen.with_parent:
        follow_parent()
    try:
        run(DataDir.at(chosen.data_dir), chosen.crash)
    except CliError as error:
        show_error(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
