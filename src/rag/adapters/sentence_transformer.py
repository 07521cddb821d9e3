"""The embedding model, run by sentence-transformers on the CPU: the reference that the int8 export is held to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag.adapters.embedding_model import MAX_TEXT_CHARS, label
from rag.domain.batches import by_length
from rag.domain.vectors import Matrix

MOST_TOKENS = 4_096
"""Of one batch, padding included: sixteen full windows of the bundled model."""


class ReferenceModel:
    """For one thread at a time, but for `token_counts`."""

    def __init__(self, source: str, *, bulk_threads: int) -> None:
        # Torch and transformers take seconds to import: only who computes with them pays.
        import torch  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415
        from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

        disable_progress_bar()  # type: ignore[no-untyped-call]
        self._torch = torch
        self._bulk_threads = bulk_threads
        # Typed as Any: what it returns is annotated for every task and modality at once.
        model: Any = SentenceTransformer(
            source,
            device="cpu",
            local_files_only=Path(source).is_dir(),
            # The other format is pickle. Eager attention is a few products of matrices: the export quantizes those.
            model_kwargs={"use_safetensors": True, "attn_implementation": "eager"},
        )
        # A copy without truncation: the model's own is set anew by each encoding and is not for two threads.
        tokenizer = model.tokenizer.backend_tokenizer
        self._counter: Any = type(tokenizer).from_str(tokenizer.to_str())
        self._counter.no_truncation()
        self._counter.no_padding()
        self.transformer = model
        self.dimension = int(model.get_embedding_dimension())
        self.window = int(model.max_seq_length)
        self.max_tokens = self.window - int(model.tokenizer.num_special_tokens_to_add())
        self.name = f"{label(source)}@{self._fingerprint()}"
        self.encode(["warm up"], False)

    def encode(self, texts: list[str], is_bulk: bool) -> Matrix:
        # A question is done in one thread as fast as in two, and steadier on a busy machine.
        self._torch.set_num_threads(self._bulk_threads if is_bulk else 1)
        cut = [text[:MAX_TEXT_CHARS] for text in texts]
        rows = np.empty((len(cut), self.dimension), dtype=np.float32)
        lengths = [min(count, self.max_tokens) for count in self.token_counts(cut)]
        for batch in by_length(lengths, most_tokens=MOST_TOKENS):
            rows[batch] = self.transformer.encode(
                [cut[place] for place in batch],
                batch_size=len(batch),
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return rows

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in self._counter.encode_batch(list(texts), add_special_tokens=False)]

    def _fingerprint(self) -> str:
        """Of the weights and the window, wherever they came from: 60 ms for 90 MB."""
        digest = hashlib.sha256(str(self.transformer.max_seq_length).encode())
        for name, tensor in sorted(self.transformer.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()[:12]
