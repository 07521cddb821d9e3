"""The embedding model's int8 export, made by a process of the RAG service's own before the first start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from cli.console import ERR
from cli.local.leash import leashed
from cli.progress import working


def prepare_embedding_model(environment: Mapping[str, str]) -> None:
    """Does nothing when it is there. Where it cannot be made the service runs the model with torch, and says so."""
    from rag.prepare import standing  # noqa: PLC0415  loads onnxruntime
    from rag.settings import EmbeddingSettings  # noqa: PLC0415

    try:
        if standing(EmbeddingSettings()):
            return
    except OSError as error:
        ERR.print(f"The embedding model is missing: {error}", style="yellow")
        return
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with working("Preparing the embedding model (about 15 s, once)"):
        done = subprocess.run(
            leashed([sys.executable, "-m", "rag.prepare"]),
            check=False,
            capture_output=True,
            text=True,
            env={**offline, **environment},
        )
    said = (done.stdout or done.stderr).strip().splitlines()[-1:]
    if done.returncode != 0 or not "".join(said).startswith("embedding model"):
        ERR.print(f"No int8 export of the embedding model: {''.join(said)}", style="yellow")
