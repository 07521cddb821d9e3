"""vLLM's command line and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.engine import model
from cli.engine.choice import Engine
from cli.engine.environment import EngineEnvironment
from cli.errors import CliError
from cli.local.ports import LOOPBACK

DEFAULT_GPU_MODEL = "Qwen/Qwen2.5-1.5B-Instruct"
DEFAULT_MAX_SEQS = 64
TOOL_PARSER = "hermes"
"""Qwen's format. Without any, vLLM refuses every request that offers tools."""
QUEUED_PER_SEQUENCE = 4
"""vLLM counts what runs too: of so many requests per sequence, one runs and the others wait. More are answered 503."""


@dataclass(frozen=True)
class EngineServer:
    """`source` is a folder or a hub's id; `name` is what clients call it; `max_seqs` are worked on at once;
    `tool_parser` reads the calls of tools in what the model says."""

    environment: EngineEnvironment
    source: str
    name: str
    max_seqs: int = DEFAULT_MAX_SEQS
    tool_parser: str = TOOL_PARSER

    @classmethod
    def of(cls, environment: EngineEnvironment, settings: Mapping[str, str]) -> EngineServer:
        chosen = settings.get("ATRIUM_MODEL")
        more = _max_seqs(settings), settings.get("ATRIUM_TOOL_PARSER") or TOOL_PARSER
        if chosen:
            folder = Path(chosen).expanduser()
            is_folder = folder.is_dir()
            source, name = (str(folder.resolve()), folder.name) if is_folder else (chosen, chosen)
            return cls(environment, source, name, *more)
        if environment.engine is Engine.GPU:
            return cls(environment, DEFAULT_GPU_MODEL, DEFAULT_GPU_MODEL, *more)
        return cls(environment, str(model.bundled_model(environment)), model.NAME, *more)

    @property
    def is_bundled(self) -> bool:
        return self.source == str(model.bundled_model(self.environment))

    @property
    def suitable_settings(self) -> Mapping[str, str]:
        """For the services, where the user says nothing else."""
        return {"ENGINE_PRIORITY": "true", **(model.SUITABLE_SETTINGS if self.is_bundled else {})}

    def command(self, port: int) -> list[str]:
        options = {
            "--model": self.source,
            "--served-model-name": self.name,
            "--host": LOOPBACK,
            "--port": str(port),
            "--max-model-len": "4096",
            "--max-num-seqs": str(self.max_seqs),
            "--max-num-queued-reqs": str(QUEUED_PER_SEQUENCE * self.max_seqs),
            "--scheduling-policy": "priority",
            "--tool-call-parser": self.tool_parser,
        }
        arguments = [argument for pair in options.items() for argument in pair]
        flags = ["--enable-prefix-caching", "--enable-prompt-tokens-details", "--enable-auto-tool-choice"]
        if self.environment.engine is Engine.CPU:
            flags.append("--enforce-eager")  # compiled kernels answer nonsense there, and take minutes to compile
        return [str(self.environment.python), "-m", "vllm.entrypoints.openai.api_server", *arguments, *flags]

    def variables(self) -> dict[str, str]:
        """What vLLM needs where the user has set nothing else."""
        wanted = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        if self.environment.engine is Engine.CPU:
            wanted["VLLM_CPU_KVCACHE_SPACE"] = "2"
        if self.is_bundled or Path(self.source).is_dir():
            wanted["HF_HUB_OFFLINE"] = "1"
        return wanted


def _max_seqs(settings: Mapping[str, str]) -> int:
    """Raises CliError for anything but a positive whole number."""
    text = settings.get("ENGINE_MAX_SEQS") or str(DEFAULT_MAX_SEQS)
    if not text.isdecimal() or int(text) < 1:
        raise CliError(f"ENGINE_MAX_SEQS={text} is no number of sequences")
    return int(text)
