"""Which engine runs here: a pure decision over what the machine has and what the user wants."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cli.errors import CliError

HOW_EXTERNAL = "atrium up --vllm-url http://HOST:PORT   (any OpenAI-compatible server)"


class Engine(StrEnum):
    GPU = "gpu"
    CPU = "cpu"
    EXTERNAL = "external"


@dataclass(frozen=True)
class Machine:
    system: str
    architecture: str
    gpu: bool
    cpu_flags: frozenset[str] = frozenset()

    @classmethod
    def here(cls) -> Machine:
        return cls(platform.system(), platform.machine().lower(), _has_gpu(), _cpu_flags())


@dataclass(frozen=True)
class Choice:
    """`reason` is for the user; `caution` is what will be slower or less than expected."""

    engine: Engine
    reason: str
    caution: str = ""


def choose(environment: Mapping[str, str], machine: Machine, *, vllm_url: str | None = None) -> Choice:
    """ATRIUM_ENGINE, or what fits the machine. Raises CliError for a value that it does not know."""
    if vllm_url:
        return Choice(Engine.EXTERNAL, "--vllm-url names a server")
    wanted = environment.get("ATRIUM_ENGINE", "auto").strip().lower() or "auto"
    if wanted == "auto":
        return _automatic(environment, machine)
    try:
        engine = Engine(wanted)
    except ValueError:
        raise CliError(f"ATRIUM_ENGINE={wanted} is not one of auto, gpu, cpu, external") from None
    if engine is Engine.CPU and not _runs_vllm_cpu(machine):
        raise CliError(f"ATRIUM_ENGINE=cpu needs x86-64 Linux with AVX2, this is {_name(machine)}", hint=HOW_EXTERNAL)
    return Choice(engine, f"ATRIUM_ENGINE={wanted}", _caution(machine) if engine is Engine.CPU else "")


def _automatic(environment: Mapping[str, str], machine: Machine) -> Choice:
    if environment.get("VLLM_SERVICE_URL"):
        return Choice(Engine.EXTERNAL, "VLLM_SERVICE_URL names a server")
    if machine.gpu and machine.system == "Linux":
        return Choice(Engine.GPU, "an NVIDIA GPU is here")
    if _runs_vllm_cpu(machine):
        return Choice(Engine.CPU, "x86-64 without an NVIDIA GPU", _caution(machine))
    return Choice(Engine.EXTERNAL, f"no engine of ours runs on {_name(machine)}")


def _runs_vllm_cpu(machine: Machine) -> bool:
    return machine.system == "Linux" and machine.architecture in {"x86_64", "amd64"} and "avx2" in machine.cpu_flags


def _caution(machine: Machine) -> str:
    return "" if "avx512f" in machine.cpu_flags else "no AVX-512 here: vLLM takes its AVX2 kernels and is slower"


def _name(machine: Machine) -> str:
    without = "" if "avx2" in machine.cpu_flags or machine.architecture not in {"x86_64", "amd64"} else " without AVX2"
    return f"{machine.system} {machine.architecture}{without}"


def _has_gpu() -> bool:
    if Path("/dev/nvidia0").exists():
        return True
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        return subprocess.run([tool, "-L"], check=False, capture_output=True, timeout=15).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return frozenset(flags.split())
