"""What a loaded embedding model is to the queue in front of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rag.domain.vectors import Matrix

MAX_TEXT_CHARS = 32_768
"""Of a text no more is tokenized: any model's window is long full by then."""


class EmbeddingModel(Protocol):
    @property
    def name(self) -> str:
        """Of the weights and the window, however they are run."""
        ...

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """What it reads of one text, its own marks left out."""
        ...

    def encode(self, texts: list[str], is_bulk: bool) -> Matrix:
        """One L2-normalised row a text. Blocking."""
        ...

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Blocking; safe in any thread, beside `encode`."""
        ...


def label(source: str) -> str:
    """A readable name: the last part of a hub name, or of the folder (of its parent, where it is just `model`)."""
    path = Path(source)
    return path.parent.name if path.name == "model" else path.name
