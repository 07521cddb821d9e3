"""Texts of many callers are embedded together; a question does not wait for a book; who goes away leaves no work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from contracts.errors import OverloadedError
from rag.adapters import batching
from rag.adapters.batching import BULK_TEXTS, SMALL_TEXTS, BatchQueue
from rag.domain.vectors import Matrix


class Model:
    """Embeds a text as its length; each batch waits for the test's leave."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], bool]] = []
        self.began = asyncio.Event()
        self.leave = threading.Semaphore(0)
        self._loop = asyncio.get_running_loop()

    def encode(self, texts: list[str], is_bulk: bool) -> Matrix:
        self.batches.append((texts, is_bulk))
        self._loop.call_soon_threadsafe(self.began.set)
        assert self.leave.acquire(timeout=30)
        if "bad" in texts:
            raise RuntimeError("the model fell over")
        return np.array([[len(text)] for text in texts], dtype=np.float32)

    def go(self, batches: int = 100) -> None:
        self.leave.release(batches)


@pytest.fixture
async def model() -> Model:
    return Model()


@pytest.fixture
async def queue(model: Model) -> AsyncIterator[BatchQueue]:
    with ThreadPoolExecutor(1) as executor:
        async with BatchQueue.running(model.encode, executor) as running:
            yield running
            model.go()


async def held(queue: BatchQueue, model: Model) -> asyncio.Task[Matrix]:
    """A first job that keeps the model busy until it is given leave."""
    first = asyncio.create_task(queue.embed(["first"]))
    await model.began.wait()
    return first


async def test_questions_that_wait_are_embedded_in_one_batch_and_each_gets_its_own_rows(
    queue: BatchQueue, model: Model
) -> None:
    first = await held(queue, model)
    waiting = [asyncio.create_task(queue.embed(["x" * n, "y"])) for n in range(2, 5)]
    await asyncio.sleep(0)
    model.go()
    answers = await asyncio.gather(first, *waiting)
    assert [answer.ravel().tolist() for answer in answers] == [[5], [2, 1], [3, 1], [4, 1]]
    assert [len(texts) for texts, _ in model.batches] == [1, 6]


async def test_a_question_waits_for_one_batch_of_a_book_and_the_book_goes_on_after_it(
    queue: BatchQueue, model: Model
) -> None:
    book = asyncio.create_task(queue.embed([f"{n:04}" for n in range(5 * BULK_TEXTS)]))
    await model.began.wait()
    questions = [asyncio.create_task(queue.embed(["question"] * SMALL_TEXTS)) for _ in range(2)]
    await asyncio.sleep(0)
    model.go()
    rows = await book
    await asyncio.gather(*questions)
    assert [is_bulk for _, is_bulk in model.batches] == [True, False, True, False, True, True, True]
    assert rows.shape == (5 * BULK_TEXTS, 1)


async def test_who_goes_away_while_waiting_is_never_embedded(queue: BatchQueue, model: Model) -> None:
    first = await held(queue, model)
    leaving = asyncio.create_task(queue.embed(["leaving"]))
    staying = asyncio.create_task(queue.embed(["staying"]))
    await asyncio.sleep(0)
    leaving.cancel()
    model.go()
    await asyncio.gather(first, staying)
    assert [texts for texts, _ in model.batches] == [["first"], ["staying"]]


async def test_a_book_whose_caller_goes_away_stops_after_the_batch_under_way(queue: BatchQueue, model: Model) -> None:
    book = asyncio.create_task(queue.embed(["page"] * 10 * BULK_TEXTS))
    await model.began.wait()
    book.cancel()
    model.go()
    assert (await queue.embed(["next"])).tolist() == [[4]]
    assert len(model.batches) == 2


async def test_a_failing_batch_fails_its_callers_and_the_next_is_served(queue: BatchQueue, model: Model) -> None:
    model.go()
    with pytest.raises(RuntimeError, match="fell over"):
        await queue.embed(["bad"])
    assert (await queue.embed(["good"])).tolist() == [[4]]


async def test_beyond_the_bound_a_caller_is_told_to_come_again(
    queue: BatchQueue, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_WAITING_TEXTS", 3)
    first = await held(queue, model)
    waiting = asyncio.create_task(queue.embed(["a", "b"]))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError) as refused:
        await queue.embed(["c", "d"])
    assert refused.value.retry_after_s
    model.go()
    await asyncio.gather(first, waiting)


async def test_closing_lets_nobody_wait_for_ever(model: Model) -> None:
    with ThreadPoolExecutor(1) as executor:
        async with BatchQueue.running(model.encode, executor) as queue:
            first = await held(queue, model)
            waiting = asyncio.create_task(queue.embed(["waiting"]))
            await asyncio.sleep(0)
        model.go()
    for task in (first, waiting):
        with pytest.raises(asyncio.CancelledError):
            await task
