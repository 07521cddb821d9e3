"""`/readyz` names what is down, and never waits long for it."""

from __future__ import annotations

import asyncio

from contracts.health import State
from servicekit.health import readiness


async def fine() -> None:
    return None


async def broken() -> None:
    raise ConnectionError


async def behind() -> dict[str, State]:
    return {"engine": "down"}


async def test_all_well_is_ready() -> None:
    answer = await readiness({"store": fine}, within_s=1)
    assert (answer.status, answer.dependencies) == ("ready", {"store": "ok"})


async def test_what_is_down_is_named_also_behind_another_service() -> None:
    answer = await readiness({"store": broken, "service": behind}, within_s=1)
    assert answer.status == "unready"
    assert answer.dependencies == {"store": "down", "service": "ok", "engine": "down"}


async def test_of_two_views_of_the_same_thing_down_is_believed() -> None:
    async def sees_it() -> dict[str, State]:
        return {"store": "ok"}

    for checks in ({"store": broken, "service": sees_it}, {"service": sees_it, "store": broken}):
        assert (await readiness(checks, within_s=1)).dependencies["store"] == "down"


async def test_a_check_that_hangs_is_down() -> None:
    async def hanging() -> None:
        await asyncio.Event().wait()

    assert (await readiness({"store": hanging}, within_s=0.01)).dependencies == {"store": "down"}


async def test_what_is_excluded_is_neither_asked_nor_told() -> None:
    asked = []

    async def counted() -> None:
        asked.append("store")

    answer = await readiness({"store": counted, "service": behind}, within_s=1, exclude=["store", "engine"])
    assert (answer.status, answer.dependencies) == ("ready", {"service": "ok"})
    assert not asked
