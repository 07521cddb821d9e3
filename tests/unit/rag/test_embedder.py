"""The embedder over its queue: a question is remembered for its tenant, an upload is not, and nothing is handed out
that a caller could spoil for the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from contracts.tenant import TenantId
from rag.adapters.batching import BatchQueue, Lane
from rag.adapters.embedder import QueuedEmbedder, model_folder
from rag.domain.vectors import Matrix

T1, T2 = TenantId("t1"), TenantId("t2")


class CountingModel:
    name, dimension, max_tokens = "counting", 2, 254

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: list[str], is_bulk: bool) -> Matrix:
        self.encoded += texts
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


@pytest.fixture
def model() -> CountingModel:
    return CountingModel()


@pytest.fixture
async def embedder(model: CountingModel) -> AsyncIterator[QueuedEmbedder]:
    with ThreadPoolExecutor(1) as one:
        async with BatchQueue.running(model.encode, questions=Lane(one, 1, 16), bulk=Lane(one, 1, 8)) as queue:
            yield QueuedEmbedder(model, queue)


async def test_a_question_asked_again_is_embedded_once_for_each_tenant(
    embedder: QueuedEmbedder, model: CountingModel
) -> None:
    rows = [await embedder.embed(["milk"], tenant_id=tenant_id) for tenant_id in (T1, T1, T2, T2)]
    assert model.encoded == ["milk", "milk"]
    assert all(row.tolist() == [[4, 1]] for row in rows)


async def test_what_is_forgotten_is_embedded_again(embedder: QueuedEmbedder, model: CountingModel) -> None:
    await embedder.embed(["milk"], tenant_id=T1)
    embedder.forget(T1)
    await embedder.embed(["milk"], tenant_id=T1)
    assert model.encoded == ["milk", "milk"]


async def test_an_upload_takes_no_questions_place(embedder: QueuedEmbedder, model: CountingModel) -> None:
    await embedder.embed(["milk", "bread"], tenant_id=T1)
    await embedder.embed(["milk"], tenant_id=T1)
    assert model.encoded == ["milk", "bread", "milk"]


async def test_a_vector_that_is_remembered_cannot_be_written_to(embedder: QueuedEmbedder) -> None:
    for _ in range(2):
        row = await embedder.embed(["milk"], tenant_id=T1)
        with pytest.raises(ValueError, match="read-only"):
            row[0, 0] = 0


async def test_no_texts_are_no_rows(embedder: QueuedEmbedder, model: CountingModel) -> None:
    assert (await embedder.embed([], tenant_id=T1)).shape == (0, 2)
    assert model.encoded == []


def test_a_name_that_no_hub_has_is_a_missing_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("nobody/nothing", "not a name/at all/"):
        with pytest.raises(OSError, match=r"."):
            model_folder(name)
