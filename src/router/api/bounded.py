"""Routes that count what is in a JSON body before they look at it.

Of an object that may have no other members than its own, each other is a fault that is put into words: a hundred
thousand of them take a second, in which no stream goes on. Any role may send them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from contracts.errors import InvalidRequestError

MAX_MEMBERS = 20_000
"""Of all objects of a body together: thousands of messages with their calls, or a hundred tools with their schemas."""


class BoundedRoute(APIRoute):
    """For `APIRouter(route_class=…)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handle(_BoundedRequest(request.scope, request.receive))

        return bounded


class _BoundedRequest(Request):
    async def json(self) -> Any:
        found = await super().json()
        if members(found) > MAX_MEMBERS:
            reason = f"the body's objects have more than {MAX_MEMBERS} members together"
            raise InvalidRequestError(reason, details={"faults": [{"path": "", "reason": reason}]})
        return found


def members(found: object) -> int:
    """Of every object in it, itself included."""
    number, waiting = 0, [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            number += len(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return number
