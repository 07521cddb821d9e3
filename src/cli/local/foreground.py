"""`atrium up` from the wish to the end: choose, prepare, start, load the examples, say where it is."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from cli.client.api import Api
from cli.console import ERR, OUT
from cli.errors import CliError
from cli.examples import load_examples, read_examples
from cli.local.data_dir import disk_error
from cli.local.draft import Draft
from cli.local.ports import PortClaims
from cli.local.reporter import LineReporter, LiveReporter, Message, Reporter, WireReporter
from cli.local.secrets import Secrets
from cli.local.session import Hooks, run_stack, sole_supervisor
from cli.local.stack import Ports, build_stack, migrate_external
from cli.local.summary import summary
from cli.local.wishes import Wishes, choose_engine, user_environment

Say = Callable[[str], None]


def run_foreground(wishes: Wishes) -> None:
    def say(text: str) -> None:
        ERR.print(text, markup=False)

    reporter: Reporter = LiveReporter(ERR) if ERR.is_terminal else LineReporter(say)
    _run(wishes, reporter, say=say, ready=lambda text: OUT.print(text, markup=False), detached=False)


def run_for_waiting(wishes: Wishes) -> None:
    """For the command that started us in the background and reads our stdout until we are ready."""
    wire = WireReporter(sys.stdout)

    def ready(text: str) -> None:
        wire.send(Message(summary=text))
        wire.close()

    try:
        _run(wishes, wire, say=lambda _: None, ready=ready, detached=True)
    except CliError as error:
        wire.send(Message(error=error.message, hint=error.hint))
        raise
    except OSError as error:
        if known := disk_error(error):
            wire.send(Message(error=known.message, hint=known.hint))
        raise


def _run(wishes: Wishes, reporter: Reporter, *, say: Say, ready: Say, detached: bool) -> None:
    data_dir = wishes.data_dir
    data_dir.create()
    user = user_environment(wishes.vllm_url)
    with sole_supervisor(data_dir) as ended:
        if ended:
            say(f"Ended {ended} processes that an earlier run had left.")
        if Draft(data_dir).settle():
            say("Finished a restore that had been cut short.")
        claims = PortClaims()  # kept as long as this process lives
        ports = Ports.choose(wishes.port, claims)
        engine = choose_engine(wishes, user)
        secrets = Secrets.load_or_create(data_dir.secrets, user)
        migrate_external(user)
        stack = build_stack(data_dir, ports, secrets, user, engine)
        for name, url in stack.external.items():
            reporter.service(name, "external", url if name == "vllm" else "given in the environment")
        stopping_since: list[float] = []

        def load() -> None:
            if wishes.examples:
                reporter.service("examples", "starting", "two tenants and their documents")
                api = Api(stack.router_url, key=secrets.platform_key)
                load_examples(api, data_dir.examples_loaded, read_examples())
                reporter.service("examples", "ready")

        def up() -> None:
            ready(summary(data_dir, stack, secrets, examples=wishes.examples, detached=detached))
            secrets.model_copy(update={"platform_key_shown": True}).save(data_dir.secrets)

        def stopping() -> None:
            stopping_since.append(time.monotonic())
            say("Stopping …")

        try:
            asyncio.run(run_stack(data_dir, stack, reporter, Hooks(load, up, stopping, say)))
        finally:
            if stopping_since:
                say(f"Everything is stopped ({time.monotonic() - stopping_since[0]:.1f} s).")
