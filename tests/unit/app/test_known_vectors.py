"""The file of the known questions' vectors: of these questions, by the model that comes with Atrium, near enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.adapters.known_vectors import keep_vectors, kept_vectors
from app.domain.known_questions import KNOWN_QUESTIONS
from rag.adapters.sentence_transformer import ReferenceModel
from rag.settings import bundled_model

TEXTS = [text for texts in KNOWN_QUESTIONS.values() for text in texts]


def test_the_file_is_of_these_questions_by_the_bundled_model() -> None:
    kept = kept_vectors()
    assert kept is not None, "the known questions have changed: make known-vectors"
    model = ReferenceModel(bundled_model(), bulk_threads=1)
    assert kept.model == model.name, "the embedding model has changed: make known-vectors"
    every_tenth = np.asarray(model.encode(TEXTS[::10], True), np.float32)
    cosines = (np.stack(kept.vectors[::10]) * every_tenth).sum(axis=1)
    assert len(kept.vectors) == len(TEXTS)
    assert cosines.min() > 0.999


def test_what_was_kept_comes_back_normalised(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(len(TEXTS), 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    keep_vectors("m@1", rows, tmp_path / "kept.npz")
    kept = kept_vectors(tmp_path / "kept.npz")
    assert kept is not None
    assert kept.model == "m@1"
    assert np.allclose(np.linalg.norm(kept.vectors, axis=1), 1, atol=1e-6)
    assert np.abs(np.stack(kept.vectors) - rows).max() < 0.01


def test_a_file_of_other_questions_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    keep_vectors("m@1", np.ones((3, 4), np.float32), path)
    with np.load(path) as found:
        values = dict(found)
    np.savez_compressed(path, **(values | {"texts": np.array("other")}))
    assert kept_vectors(path) is None
