"""Who waits is served in turn by tenant; a question does not wait for a book; who goes away leaves no work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from contracts.errors import OverloadedError
from contracts.tenant import TenantId
from rag.adapters import batching
from rag.adapters.batching import SMALL_CHARS, SMALL_TEXTS, BatchQueue, Lane
from rag.domain.vectors import Matrix

T1, T2, T3 = TenantId("t1"), TenantId("t2"), TenantId("t3")
QUESTION_TEXTS, BULK_TEXTS = 16, 8


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
    """Both lanes in one thread."""
    with ThreadPoolExecutor(1) as one:
        async with BatchQueue.running(
            model.encode, questions=Lane(one, 1, QUESTION_TEXTS), bulk=Lane(one, 1, BULK_TEXTS)
        ) as running:
            yield running
            model.go()


async def held(queue: BatchQueue, model: Model) -> asyncio.Task[Matrix]:
    """A first job that keeps the model busy until it is given leave."""
    first = asyncio.create_task(queue.embed(T1, ["first"]))
    await model.began.wait()
    return first


async def test_questions_that_wait_are_taken_together_and_each_gets_its_own_rows(
    queue: BatchQueue, model: Model
) -> None:
    first = await held(queue, model)
    waiting = [asyncio.create_task(queue.embed(T1, ["x" * n, "y"])) for n in range(2, 5)]
    await asyncio.sleep(0)
    model.go()
    answers = await asyncio.gather(first, *waiting)
    assert [answer.ravel().tolist() for answer in answers] == [[5], [2, 1], [3, 1], [4, 1]]
    assert [len(texts) for texts, _ in model.batches] == [1, 6]


async def test_a_question_waits_for_one_batch_of_a_book_and_the_book_goes_on_after_it(
    queue: BatchQueue, model: Model
) -> None:
    book = asyncio.create_task(queue.embed(T1, [f"{n:04}" for n in range(5 * BULK_TEXTS)]))
    await model.began.wait()
    questions = [asyncio.create_task(queue.embed(T1, ["question"] * SMALL_TEXTS)) for _ in range(2)]
    await asyncio.sleep(0)
    model.go()
    rows = await book
    await asyncio.gather(*questions)
    assert [is_bulk for _, is_bulk in model.batches] == [True, False, True, False, True, True, True]
    assert rows.shape == (5 * BULK_TEXTS, 1)


async def test_with_threads_of_its_own_a_question_waits_for_no_batch_of_a_book(model: Model) -> None:
    with ThreadPoolExecutor(1) as questions, ThreadPoolExecutor(2) as bulk:
        lanes = {"questions": Lane(questions, 1, QUESTION_TEXTS), "bulk": Lane(bulk, 2, BULK_TEXTS)}
        async with BatchQueue.running(model.encode, **lanes) as queue:
            book = asyncio.create_task(queue.embed(T1, [f"{n:04}" for n in range(5 * BULK_TEXTS)]))
            await model.began.wait()
            question = asyncio.create_task(queue.embed(T2, ["question"]))
            while len(model.batches) < 3:
                model.began.clear()
                await model.began.wait()
            assert sorted(is_bulk for _, is_bulk in model.batches) == [False, True, True]
            model.go()
            assert (await question).tolist() == [[8]]
            assert (await book).shape == (5 * BULK_TEXTS, 1)


async def test_rows_come_in_the_order_of_their_texts_whichever_batch_ends_first() -> None:
    ends = [threading.Event() for _ in range(3)]

    def encode(texts: list[str], is_bulk: bool) -> Matrix:
        number = int(texts[0]) // BULK_TEXTS
        if number == 0:
            assert ends[1].wait(30)
        ends[number].set()
        return np.array([[int(text)] for text in texts], dtype=np.float32)

    with ThreadPoolExecutor(3) as executor:
        lanes = {"questions": Lane(executor, 1, QUESTION_TEXTS), "bulk": Lane(executor, 2, BULK_TEXTS)}
        async with BatchQueue.running(encode, **lanes) as queue:
            rows = await queue.embed(T1, [f"{n:03}" for n in range(3 * BULK_TEXTS)])
    assert rows.ravel().tolist() == [*range(3 * BULK_TEXTS)]


async def test_tenants_are_served_in_turn_however_many_books_one_of_them_brings(
    queue: BatchQueue, model: Model
) -> None:
    first = await held(queue, model)
    flood = [asyncio.create_task(queue.embed(T1, [f"t1 {n}"] * 20)) for n in range(5)]
    others = [asyncio.create_task(queue.embed(tenant, [str(tenant)] * 20)) for tenant in (T2, T3)]
    await asyncio.sleep(0)
    model.go()
    await asyncio.gather(first, *flood, *others)
    served = [texts[0][:2] for texts, is_bulk in model.batches if is_bulk]
    assert served[:6] == ["t1", "t2", "t3", "t1", "t2", "t3"]


async def test_a_few_long_texts_are_no_question(queue: BatchQueue, model: Model) -> None:
    model.go()
    await queue.embed(T1, ["long" * SMALL_CHARS])
    await queue.embed(T1, ["long" * SMALL_CHARS] * 5)
    assert [is_bulk for _, is_bulk in model.batches] == [False, True]


async def test_who_goes_away_while_waiting_is_never_embedded(queue: BatchQueue, model: Model) -> None:
    first = await held(queue, model)
    leaving = asyncio.create_task(queue.embed(T1, ["leaving"]))
    staying = asyncio.create_task(queue.embed(T1, ["staying"]))
    await asyncio.sleep(0)
    leaving.cancel()
    model.go()
    await asyncio.gather(first, staying)
    assert [texts for texts, _ in model.batches] == [["first"], ["staying"]]


async def test_a_book_whose_caller_goes_away_stops_after_the_batch_under_way(queue: BatchQueue, model: Model) -> None:
    book = asyncio.create_task(queue.embed(T1, ["page"] * 10 * BULK_TEXTS))
    await model.began.wait()
    book.cancel()
    model.go()
    assert (await queue.embed(T1, ["next"])).tolist() == [[4]]
    assert len(model.batches) == 2


async def test_a_failing_batch_fails_its_callers_and_the_next_is_served(queue: BatchQueue, model: Model) -> None:
    model.go()
    with pytest.raises(RuntimeError, match="fell over"):
        await queue.embed(T1, ["bad"])
    assert (await queue.embed(T1, ["good"])).tolist() == [[4]]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MAX_SMALL_TEXTS", 8)


@pytest.mark.usefixtures("narrow")
class TestBounds:
    async def test_one_tenant_fills_its_share_and_leaves_the_others_room(self, model: Model, queue: BatchQueue) -> None:
        first = await held(queue, model)
        waiting = asyncio.create_task(queue.embed(T1, ["a", "b"]))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as refused:
            await queue.embed(T1, ["c"])
        assert refused.value.retry_after_s
        other = asyncio.create_task(queue.embed(T2, ["c", "d", "e"]))
        await asyncio.sleep(0)
        assert not other.done()
        model.go()
        await asyncio.gather(first, waiting, other)
        assert (await queue.embed(T1, ["again"])).tolist() == [[5]]

    async def test_beyond_the_bound_of_all_a_caller_is_told_to_come_again(
        self, model: Model, queue: BatchQueue
    ) -> None:
        first = await held(queue, model)
        waiting = asyncio.create_task(queue.embed(T1, ["a"] * 7))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await queue.embed(T2, ["c", "d"])
        model.go()
        await asyncio.gather(first, waiting)

    async def test_who_goes_away_leaves_room(self, model: Model, queue: BatchQueue) -> None:
        first = await held(queue, model)
        leaving = asyncio.create_task(queue.embed(T1, ["a", "b"]))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        staying = asyncio.create_task(queue.embed(T1, ["c", "d"]))
        await asyncio.sleep(0)
        model.go()
        await asyncio.gather(first, staying)


async def test_closing_lets_nobody_wait_for_ever(model: Model) -> None:
    with ThreadPoolExecutor(1) as one:
        async with BatchQueue.running(model.encode, questions=Lane(one, 1, 16), bulk=Lane(one, 1, 8)) as queue:
            first = await held(queue, model)
            waiting = asyncio.create_task(queue.embed(T1, ["waiting"]))
            await asyncio.sleep(0)
        model.go()
    for task in (first, waiting):
        with pytest.raises(asyncio.CancelledError):
            await task
