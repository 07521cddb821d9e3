"""The imitation's queue, which fairness is measured against: it must be the one that vLLM has."""

from __future__ import annotations

import asyncio

from support.imitation_engine import Sequences


async def entered(sequences: Sequences, *priorities: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(sequences.enter(priority)) for priority in priorities]
    await asyncio.sleep(0)
    return tasks


async def test_the_lowest_priority_goes_first_and_then_who_came_first() -> None:
    sequences = Sequences(most=1)
    running, second, last, first = await entered(sequences, 0, 0, 5, -1)
    assert (sequences.running, sequences.waiting, running.done()) == (1, 3, True)
    for task in (first, second, last):
        sequences.leave()
        await asyncio.wait_for(task, 1)
    assert (sequences.running, sequences.waiting) == (1, 0)


async def test_who_leaves_the_queue_takes_no_sequence() -> None:
    sequences = Sequences(most=1)
    _, gone, given, stays = await entered(sequences, 0, 0, 0, 0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    sequences.leave()
    given.cancel()  # in the moment in which it was given its turn
    await asyncio.gather(given, return_exceptions=True)
    await asyncio.wait_for(stays, 1)
    assert (sequences.running, sequences.waiting) == (1, 0)


async def test_all_share_one_speed_and_none_is_faster_than_alone() -> None:
    sequences = Sequences(most=16, tokens_per_s=340)
    await entered(sequences, 0)
    assert sequences.step_s(0.023) == 0.023
    await entered(sequences, *([0] * 15))
    assert sequences.step_s(0.023) == 16 / 340
