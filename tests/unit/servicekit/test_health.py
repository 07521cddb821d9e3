"""`/readyz` names what is down, and never waits long for it."""

from __future__ import annotations

import asyncio

import pytest

from contracts.health import State
from servicekit import health
from servicekit.health import readiness


async def fine() -> None:
    return None


async def broken() -> None:
    raise ConnectionError


async def behind() -> dict[str, State]:
    return {"engine": "down"}


async def test_all_well_is_ready() -> None:
    answer = await readiness({"store": fine})
    assert (answer.status, answer.dependencies) == ("ready", {"store": "ok"})


async def test_what_is_down_is_named_also_behind_another_service() -> None:
    answer = await readiness({"store": broken, "service": behind})
    assert answer.status == "unready"
    assert answer.dependencies == {"store": "down", "service": "ok", "engine": "down"}


async def test_a_check_that_hangs_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.01)

    async def hanging() -> None:
        await asyncio.Event().wait()

    assert (await readiness({"store": hanging})).dependencies == {"store": "down"}
