"""What `atrium up` was asked for, and the engine that follows from it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cli.engine.choice import Engine, Machine, choose
from cli.engine.external import find_dialect
from cli.engine.prepare import prepare
from cli.engine.server import EngineServer
from cli.local.data_dir import DataDir


@dataclass(frozen=True)
class Wishes:
    data_dir: DataDir
    port: int
    vllm_url: str | None
    examples: bool

    def arguments(self) -> list[str]:
        """The same as a command line."""
        examples = "--examples" if self.examples else "--no-examples"
        engine = ["--vllm-url", self.vllm_url] if self.vllm_url else []
        return ["--data-dir", str(self.data_dir.path), "--port", str(self.port), examples, *engine]


def user_environment(vllm_url: str | None) -> dict[str, str]:
    """The environment of this command. The engine's address may be given with OpenAI's `/v1` at its end."""
    found = dict(os.environ)
    if vllm_url:
        found["VLLM_SERVICE_URL"] = vllm_url
    if url := found.get("VLLM_SERVICE_URL"):
        found["VLLM_SERVICE_URL"] = ",".join(part.strip().rstrip("/").removesuffix("/v1") for part in url.split(","))
    return found


def choose_engine(wishes: Wishes, user: dict[str, str]) -> EngineServer | None:
    """Ready to start; None for the user's own, whose dialect is then in `user`."""
    choice = choose(user, Machine.here(), vllm_url=wishes.vllm_url)
    if choice.engine is not Engine.EXTERNAL or not user.get("VLLM_SERVICE_URL"):
        return prepare(choice, user)
    user.setdefault("ENGINE_DIALECT", find_dialect(user["VLLM_SERVICE_URL"]))
    return None
