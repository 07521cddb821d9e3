"""vLLM's command line and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.engine import model
from cli.engine.choice import Engine
from cli.engine.environment import EngineEnvironment
from cli.local.ports import LOOPBACK

DEFAULT_GPU_MODEL = "Qwen/Qwen2.5-1.5B-Instruct"
_COMMON = {
    "--max-model-len": "4096",
    "--max-num-seqs": "64",
    "--scheduling-policy": "priority",
    "--max-num-queued-reqs": "256",
}


@dataclass(frozen=True)
class EngineServer:
    """`source` is a folder or a hub's id; `name` is what clients call it."""

    environment: EngineEnvironment
    source: str
    name: str

    @classmethod
    def of(cls, environment: EngineEnvironment, settings: Mapping[str, str]) -> EngineServer:
        chosen = settings.get("ATRIUM_MODEL")
        if chosen:
            folder = Path(chosen).expanduser()
            is_folder = folder.is_dir()
            return cls(
                environment, str(folder.resolve()) if is_folder else chosen, folder.name if is_folder else chosen
            )
        if environment.engine is Engine.GPU:
            return cls(environment, DEFAULT_GPU_MODEL, DEFAULT_GPU_MODEL)
        return cls(environment, str(model.bundled_model(environment)), model.NAME)

    @property
    def is_bundled(self) -> bool:
        return self.source == str(model.bundled_model(self.environment))

    @property
    def suitable_settings(self) -> Mapping[str, str]:
        """For the services, where the user says nothing else."""
        return model.SUITABLE_SETTINGS if self.is_bundled else {}

    def command(self, port: int) -> list[str]:
        options = {"--model": self.source, "--served-model-name": self.name, "--host": LOOPBACK, "--port": str(port)}
        arguments = [argument for pair in (options | _COMMON).items() for argument in pair]
        # Compiled kernels answer nonsense on a CPU, and take minutes to compile.
        flags = ["--enable-prefix-caching", *(["--enforce-eager"] if self.environment.engine is Engine.CPU else [])]
        return [str(self.environment.python), "-m", "vllm.entrypoints.openai.api_server", *arguments, *flags]

    def variables(self) -> dict[str, str]:
        """What vLLM needs where the user has set nothing else."""
        wanted = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        if self.environment.engine is Engine.CPU:
            wanted["VLLM_CPU_KVCACHE_SPACE"] = "2"
        if self.is_bundled or Path(self.source).is_dir():
            wanted["HF_HUB_OFFLINE"] = "1"
        return wanted
