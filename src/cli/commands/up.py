"""`atrium up`: the whole stack on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.options import DataDirOption
from cli.local.data_dir import DataDir
from cli.local.leash import follow_parent
from cli.local.wishes import Wishes

app = typer.Typer(add_completion=False)


@app.command()
def up(
    data_dir: DataDirOption = None,
    port: Annotated[int, typer.Option(envvar="ROUTER_PORT", min=1, max=65_535, help="The router's port")] = 8080,
    vllm_url: Annotated[
        str | None, typer.Option("--vllm-url", help="Use this OpenAI-compatible server instead of starting vLLM")
    ] = None,
    examples: Annotated[bool, typer.Option(help="Load the two example tenants")] = True,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready; `atrium down` stops it")
    ] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
    report: Annotated[bool, typer.Option("--report", hidden=True)] = False,
) -> None:
    """Start PostgreSQL, Valkey, vLLM, the RAG service, the orchestrator and the router.

    Runs until Ctrl-C, which stops them all. Settings in the environment reach every service.
    """
    if with_parent:
        follow_parent()
    wishes = Wishes(DataDir.at(data_dir), port, vllm_url, examples)
    if detach and not report:
        from cli.local.detached import run_detached  # noqa: PLC0415  needs nothing of what the supervisor loads

        run_detached(wishes)
    else:
        from cli.local.foreground import run_for_waiting, run_foreground  # noqa: PLC0415  loads the whole stack

        run_for_waiting(wishes) if report else run_foreground(wishes)
