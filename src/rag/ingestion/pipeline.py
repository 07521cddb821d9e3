"""From a file to chunks and their vectors, for uploads that are answered at once and for jobs alike."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.tenant import TenantId
from rag.domain.corpus import Chunk, Document
from rag.domain.extracted import Extracted
from rag.domain.identity import chunk_id
from rag.domain.vectors import Matrix
from rag.ingestion.chunker import Chunker, Cut, embedded_text
from rag.ports import Embedder, Extractor

PIECES_AT_ONCE = 500
"""Measured in tokens in one go: between two, the event loop and other documents get their turn."""


@dataclass(frozen=True, slots=True)
class ToEmbed:
    """A chunk, and the text that its vector is to be of."""

    chunk: Chunk
    text: str


class Pipeline:
    def __init__(self, embedder: Embedder, extractor: Extractor) -> None:
        self._embedder = embedder
        self._extractor = extractor
        self._chunker = Chunker(embedder.token_counts, embedder.max_tokens)

    @property
    def model(self) -> str:
        return self._embedder.model

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    async def read(self, tenant_id: TenantId, document: Document, content: bytes) -> list[ToEmbed]:
        """The document's chunks, in order. Raises what `Extractor.extract` raises."""
        extracted = await self._extractor.extract(document.filename, content)
        found: list[ToEmbed] = []
        for start in range(0, len(extracted.pieces), PIECES_AT_ONCE):
            cuts = await asyncio.to_thread(self._cuts, extracted, start)
            found += [
                _to_embed(tenant_id, document, extracted.text, len(found) + at, cut) for at, cut in enumerate(cuts)
            ]
        return found

    async def embed(self, tenant_id: TenantId, found: Sequence[ToEmbed]) -> Matrix:
        """One row each, in the same order."""
        return await self._embedder.embed([item.text for item in found], tenant_id=tenant_id)

    def texts_hash(self, found: Sequence[ToEmbed]) -> bytes:
        """Of the model and the texts: vectors with the same are the same."""
        digest = hashlib.sha256(self.model.encode())
        for item in found:
            digest.update(f"\n{len(item.text)}:".encode())
            digest.update(item.text.encode())
        return digest.digest()

    def _cuts(self, extracted: Extracted, start: int) -> list[Cut]:
        return self._chunker.cuts(extracted.text, extracted.pieces[start : start + PIECES_AT_ONCE])


def _to_embed(tenant_id: TenantId, document: Document, text: str, ordinal: int, cut: Cut) -> ToEmbed:
    body = cut.span.of(text)
    chunk = Chunk(
        chunk_id=chunk_id(tenant_id, document.document_id, document.content_hash, ordinal),
        ordinal=ordinal,
        text=body,
        start=cut.span.start,
        end=cut.span.end,
        heading=cut.heading,
    )
    return ToEmbed(chunk, embedded_text(cut.context, body))
