"""Models that read texts: for vectors, and for how well a passage answers a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from contracts.tenant import TenantId
from rag.domain.vectors import Matrix


class Embedder(Protocol):
    @property
    def model(self) -> str:
        """Names the model and its weights: vectors of two models are never compared."""
        ...

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """What the model reads of one text; the rest is cut off."""
        ...

    async def embed(self, texts: Sequence[str], *, tenant_id: TenantId) -> Matrix:
        """One L2-normalised row a text, not to be written to. Raises OverloadedError when too many texts wait already.

        Tenants who wait are served in turn. Cancelling stops the work on texts not yet begun.
        """
        ...

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, the model's own marks left out. Blocking; safe in any thread."""
        ...

    def forget(self, tenant_id: TenantId) -> None:
        """Drop what is remembered of the tenant's questions."""
        ...


class Reranker(Protocol):
    """A model that reads the question and a passage together; slower and finer than any index."""

    @property
    def depth(self) -> int:
        """How many of the best it is to be asked about; 0: it is not to be asked."""
        ...

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """One a text, the greater the better. Blocking, for one thread at a time."""
        ...
