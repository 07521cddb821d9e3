"""Answers in OpenAI's wire format. What Atrium says beside it stands under `atrium`, which clients leave alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from contracts.chat import Usage
from contracts.conversation import ToolCall

_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})
CONTENT_FILTER = "content_filter"


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "atrium"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class OpenAIErrorBody(BaseModel):
    """`atrium` has our own `code`, `request_id` and `details`."""

    message: str
    type: str
    param: str | None
    code: str | None
    atrium: dict[str, Any]


class OpenAIError(BaseModel):
    error: OpenAIErrorBody


OPENAI_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": OpenAIError} for status in (400, 401, 403, 404, 409, 413, 429, 503)
}


def finish_reason(said: str, calls: Sequence[ToolCall]) -> str:
    """One of those that OpenAI's API has. An engine that was told which tool to call says `stop`."""
    reason = said if said in _REASONS else "stop"
    return "tool_calls" if calls and reason == "stop" else reason


def message(text: str, calls: Sequence[ToolCall], refusal: str | None) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": refusal}
    return said | ({"tool_calls": [_call(call) for call in calls]} if calls else {})


def call_deltas(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """Each whole, in one piece."""
    return [{"index": at, **_call(call)} for at, call in enumerate(calls)]


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
