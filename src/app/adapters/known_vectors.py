"""The known questions' vectors by the embedding model that comes with Atrium, so that no first question waits for them.

`make known-vectors` writes the file. One byte a number, scaled by row: a cosine differs by less than a hundredth. They
count for the model of this name only, which has a fingerprint of the weights in it; for any other they are asked for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from app.domain.known_questions import KNOWN_TEXTS
from app.ports import Embedded, Vector

PATH = Path(__file__).with_suffix(".npz")
_LARGEST = 127


def kept_vectors(path: Path = PATH) -> Embedded | None:
    """One L2-normalised row a known question, in their order. None where the file is of other questions."""
    with np.load(path, allow_pickle=False) as found:
        if str(found["texts"]) != _digest():
            return None
        rows = found["rows"].astype(np.float32)
        return Embedded(str(found["model"]), list(rows / np.linalg.norm(rows, axis=1, keepdims=True)))


def keep_vectors(model: str, rows: Vector, path: Path = PATH) -> None:
    """`rows`: float32 of shape (questions, dimension), in the questions' order."""
    scaled = np.round(rows / np.abs(rows).max(axis=1, keepdims=True) * _LARGEST).astype(np.int8)
    np.savez_compressed(path, model=np.array(model), texts=np.array(_digest()), rows=scaled)


def _digest() -> str:
    return hashlib.sha256("\n".join(KNOWN_TEXTS).encode()).hexdigest()
