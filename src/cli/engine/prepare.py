"""Make the engine ready to start: its environment and its model. Fast when nothing is left to do."""

from __future__ import annotations

from collections.abc import Mapping

from cli.engine.choice import HOW_EXTERNAL, Choice, Engine
from cli.engine.environment import EngineEnvironment
from cli.engine.model import prepare_bundled_model
from cli.engine.server import EngineServer
from cli.errors import CliError


def prepare(choice: Choice, environment: Mapping[str, str]) -> EngineServer:
    """Raises CliError for an external engine, which is not ours to prepare, and where something could not be made."""
    if choice.engine is Engine.EXTERNAL:
        raise CliError(f"no engine's address is given ({choice.reason})", hint=HOW_EXTERNAL)
    virtual = EngineEnvironment.of(choice.engine, environment)
    if not virtual.is_current():
        virtual.make()
    server = EngineServer.of(virtual, environment)
    if server.is_bundled:
        prepare_bundled_model(virtual)
    return server
