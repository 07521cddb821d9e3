"""The tool calls of an answer, put together from the pieces in which an engine tells them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import NamedTuple

from contracts.conversation import ToolCall
from contracts.errors import UpstreamError

MAX_CALLS = 64
MAX_CHARS = 256 * 1024
"""Of all calls of an answer: more than any answer has tokens for."""


class CallPiece(NamedTuple):
    """A piece of the call number `at`: what is not empty is added to what came of it before."""

    at: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def whole(self) -> ToolCall:
        id_ = self.id or f"call_{uuid.uuid4().hex}"
        return ToolCall(id=id_, name=self.name, arguments="".join(self.arguments) or "{}")


@dataclass(slots=True)
class ToolCalls:
    _calls: dict[int, _Call] = field(default_factory=dict)
    _chars: int = 0

    def add(self, piece: CallPiece) -> None:
        """Raises UpstreamError where there is more of them than can be meant."""
        call = self._calls.setdefault(piece.at, _Call())
        call.id = call.id or piece.id
        call.name += piece.name
        call.arguments.append(piece.arguments)
        self._chars += len(piece.name) + len(piece.arguments)
        if len(self._calls) > MAX_CALLS or self._chars > MAX_CHARS:
            raise UpstreamError("the engine calls more tools than can be meant")

    def whole(self) -> tuple[ToolCall, ...]:
        """In their order. One without a name is none; one without an id gets one, by which its result is known."""
        return tuple(call.whole() for _, call in sorted(self._calls.items()) if call.name)
