"""`atrium engine`: which inference engine runs here, and making it ready."""

from __future__ import annotations

import os

import typer

from cli.console import ERR
from cli.engine.choice import HOW_EXTERNAL, Engine, Machine, choose
from cli.engine.embedding import prepare_embedding_model
from cli.engine.prepare import prepare as prepare_engine

app = typer.Typer(help="The inference engine of the local stack.", no_args_is_help=True, add_completion=False)


@app.callback()
def engine() -> None:
    """The inference engine of the local stack."""


@app.command()
def prepare() -> None:
    """Install the engine, convert its model and export the embedding model. Does nothing when all are there."""
    prepare_embedding_model(os.environ)
    choice = choose(os.environ, Machine.here())
    if choice.engine is Engine.EXTERNAL:
        ERR.print(f"engine: external ({choice.reason})")
        if not os.environ.get("VLLM_SERVICE_URL"):
            ERR.print(f"Start the stack with\n\n    {HOW_EXTERNAL}\n")
        return
    if choice.caution:
        ERR.print(choice.caution, style="yellow")
    server = prepare_engine(choice, os.environ)
    ERR.print(f"[green]✓[/green] engine: {choice.engine} ({choice.reason}), model {server.name}")
