"""`/healthz` (the process lives), `/readyz` (it can work, and if not, what is missing), `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from contracts.health import Readiness, State
from observability.metrics import ExposedMetrics
from observability.prometheus import CONTENT_TYPE

Check = Callable[[], Awaitable[Mapping[str, State] | None]]
"""Returns nothing when all is well, raises when not; may return the states of what lies behind it."""


async def readiness(checks: Mapping[str, Check], *, within_s: float, exclude: Collection[str] = ()) -> Readiness:
    """Ask every dependency at once, each for at most `within_s`. Of two views of the same thing, "down" is believed.

    What `exclude` names is neither asked nor told, also where it lies behind another.
    """

    async def ask(name: str, check: Check) -> dict[str, State]:
        try:
            async with asyncio.timeout(within_s):
                behind = await check()
        except Exception:  # noqa: BLE001  whatever goes wrong in a check, the answer is "down"
            return {name: "down"}
        return {name: "ok", **(behind or {})}

    states: dict[str, State] = {}
    asked = [(name, check) for name, check in checks.items() if name not in exclude]
    for found in await asyncio.gather(*(ask(name, check) for name, check in asked)):
        for name, state in found.items():
            if name in exclude:
                continue
            states[name] = state if states.get(name) != "down" else "down"
    ready = all(state == "ok" for state in states.values())
    return Readiness(status="ready" if ready else "unready", dependencies=states)


def operations_router(checks: Mapping[str, Check], metrics: ExposedMetrics, *, within_s: float) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", responses={503: {"model": Readiness}})
    async def readyz(response: Response, exclude: Annotated[list[str] | None, Query()] = None) -> Readiness:
        """What is needed, and whether it is there. `exclude`, as often as wanted, leaves a dependency out."""
        answer = await readiness(checks, within_s=within_s, exclude=exclude or ())
        response.status_code = 200 if answer.status == "ready" else 503
        return answer

    @router.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return router
