"""`python -m rag.prepare`: the embedding model made ready to start. Does nothing when it is.

Takes EMBEDDING_MODEL, EMBEDDING_BACKEND and EMBEDDING_CACHE_DIR from the environment, or its arguments.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from rag.adapters.embedder import model_folder
from rag.adapters.export_cache import DamagedExportError, ExportCache, NoExportError, key_of
from rag.settings import EmbeddingSettings


def standing(settings: EmbeddingSettings) -> str:
    """What is there already, in a sentence; empty where something is to be made. Raises OSError without a model."""
    if settings.embedding_backend == "torch":
        return "torch runs the embedding model"
    key = key_of(model_folder(settings.embedding_model))
    cache = ExportCache(settings.embedding_cache_dir)
    try:
        return f"embedding model {cache.read(key).manifest.model}"
    except DamagedExportError:
        return ""
    except NoExportError as error:
        return f"torch runs the embedding model ({error})" if cache.has(key) else ""


def prepare(settings: EmbeddingSettings) -> str:
    """What is there now, in a sentence. Raises OSError where the model or the place for the export is missing."""
    if found := standing(settings):
        return found
    from rag.adapters.onnx_export import build  # noqa: PLC0415  torch and its kin

    logging.getLogger("torch").setLevel(logging.ERROR)  # what of torchvision it misses
    key = key_of(model_folder(settings.embedding_model))
    cache = ExportCache(settings.embedding_cache_dir)
    cache.drop(key)
    manifest = build(settings.embedding_model, key, cache)
    if manifest.refused:
        return f"torch runs the embedding model ({manifest.refused})"
    return f"embedding model {manifest.model}, exported (cosine {manifest.cosine} to the reference)"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rag.prepare", description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    given = {"embedding_model": arguments.model, "embedding_cache_dir": arguments.cache}
    settings = EmbeddingSettings(**{name: value for name, value in given.items() if value is not None})
    try:
        sys.stdout.write(prepare(settings) + "\n")
    except OSError as error:
        sys.exit(f"the embedding model could not be prepared: {error}")


if __name__ == "__main__":
    main()
