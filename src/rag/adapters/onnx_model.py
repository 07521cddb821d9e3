"""The int8 export of the embedding model, run by onnxruntime. Needs neither torch nor transformers.

Texts run alone, never side by side. The activations of a run are quantized with one scale for all of it, so that in a
batch a vector would depend on its neighbours' texts (cosine .994 to the same text alone: as much as quantizing costs),
which may be another tenant's. Alone, a text has the same vector always, nothing is padded, and on a CPU a batch saves
next to nothing: a tenth on questions, less than nothing on chunks (benchmarks/README.md). Two cores are used by two
runs at once, each in its caller's thread; threads of one run would wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from rag.adapters.check_texts import CHECK_TEXTS
from rag.adapters.embedding_model import MAX_TEXT_CHARS
from rag.adapters.export_cache import CHECK, MODEL, TOKENIZER, Export, NoExportError
from rag.domain.vectors import Matrix, Vector

MEAN_COSINE, LEAST_COSINE = 0.98, 0.95
"""To the reference's vectors of CHECK_TEXTS. The bundled model has .991 and, for a lone emoji, .972."""


class OnnxModel:
    """Safe in several threads at once."""

    def __init__(self, export: Export) -> None:
        """Raises NoExportError where this machine makes something else of it than the reference does."""
        manifest = export.manifest
        self.name = manifest.model
        self.dimension = manifest.dimension
        self.max_tokens = manifest.max_tokens
        self._prompt = manifest.prompt
        self._tokenizer = _tokenizer(export)
        self._tokenizer.enable_truncation(manifest.window, direction=manifest.truncate)
        self._counter = _tokenizer(export)
        self._session = open_session(export.files[MODEL])
        self.cosine, least = self._cosines(export.files[CHECK])
        if self.cosine < MEAN_COSINE or least < LEAST_COSINE:
            raise NoExportError(f"its vectors are off here: cosine {self.cosine:.3f}, for one text {least:.3f}")

    def encode(self, texts: list[str], is_bulk: bool) -> Matrix:
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[:] = self._vector(text)
        return rows

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in self._counter.encode_batch(list(texts), add_special_tokens=False)]

    def _cosines(self, reference: bytes) -> tuple[float, float]:
        """Mean and least over CHECK_TEXTS: at every start, as machines differ. Without VNNI int8 products saturate."""
        expected = np.frombuffer(reference, dtype="<f4").reshape(len(CHECK_TEXTS), self.dimension)
        cosines = np.nan_to_num((self.encode(list(CHECK_TEXTS), False) * expected).sum(axis=1), nan=-1.0)
        return float(cosines.mean()), float(cosines.min())

    def _vector(self, text: str) -> Vector:
        ids = self._tokenizer.encode(self._prompt + text[:MAX_TEXT_CHARS]).ids
        found: Vector = self._session.run(None, {"input_ids": np.array([ids], dtype=np.int64)})[0][0]
        return found


def open_session(model: bytes) -> Any:
    """Computes in the thread that runs it, and keeps no plan of memory per length of text."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _tokenizer(export: Export) -> Tokenizer:
    found = Tokenizer.from_str(export.files[TOKENIZER].decode())
    found.no_truncation()
    found.no_padding()
    return found
