"""The model that comes with the CPU engine: SmolLM2-135M-Instruct, carried by a package as GGUF, converted once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cli.engine.environment import EngineEnvironment
from cli.errors import CliError
from cli.local.leash import leashed
from cli.progress import working

NAME = "smollm2-135m-instruct"
SUITABLE_SETTINGS: Mapping[str, str] = {
    "RETRIEVE_PASSAGES": "2",
    "MAX_ANSWER_TOKENS": "256",
    "FREQUENCY_PENALTY": "0.3",
}
"""What the orchestrator is told where the user says nothing else: tried on the example tenants' questions. With four
passages a model of 135M parameters mixes them up, and without the penalty it repeats itself to the limit."""

_SCRIPT = Path(__file__).with_name("convert_gguf.py")


def bundled_model(environment: EngineEnvironment) -> Path:
    return environment.models / NAME


def prepare_bundled_model(environment: EngineEnvironment) -> None:
    """Does nothing when it is there. A conversion that was cut short leaves a draft, never a half model."""
    folder = bundled_model(environment)
    if (folder / "config.json").exists():
        return
    draft = folder.with_name(f"{NAME}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    with working("Preparing the model SmolLM2-135M-Instruct (about 20 s, once)"):
        done = subprocess.run(
            leashed([str(environment.python), str(_SCRIPT), str(draft)]),
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, **offline},
        )
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise CliError("the model could not be prepared:\n" + "\n".join(done.stderr.strip().splitlines()[-8:]))
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
