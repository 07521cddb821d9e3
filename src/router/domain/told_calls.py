"""The tool calls of an answer before a tenant's rules: of what they say nothing leaves that the text may not say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from contracts.chat import Refusal
from contracts.conversation import ToolCall
from contracts.errors import UpstreamError
from guard.decoded import unescaped
from guard.rules import Rule
from guard.stream import StreamGuard, weight
from router.domain.arguments import plainly, read
from router.domain.blocked_tools import refuse_tools
from router.domain.policy import Policy
from router.domain.refusal import refusal

MAX_DEPTH = 64


class _RefusedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.rule_id)
        self.refusal = refusal


def spoken(call: ToolCall) -> str:
    """What a call says, without escapes, for who reads it as a text."""
    return f"{call.name} {plainly(call.arguments) or unescaped(call.arguments)}"


def guarded_calls(
    policy: Policy, calls: tuple[ToolCall, ...], redacted: dict[int, Rule] | None = None
) -> tuple[ToolCall, ...] | Refusal:
    """The calls with what is redacted replaced in their arguments, or the refusal of the first rule that matches. The
    rules that replaced something are added to `redacted`, by their rank.

    The rules see each argument as the client will read it, and the whole as the model wrote it and without escapes: it
    may be cut off, or say a name twice, of which a client reads one. Raises UpstreamError for arguments that are nested
    deeper than can be meant.
    """
    refused = refuse_tools((call.name for call in calls), policy.config.blocked_tools, "output")
    if refused is not None:
        return refused

    def checked(text: str) -> str:
        guard = StreamGuard(policy.rules.guards.output, policy.output_redactor or None)
        left = guard.feed(text) + guard.finish()
        if guard.verdict is not None:
            raise _RefusedError(refusal(guard.verdict))
        if redacted is not None:
            redacted.update(guard.redacted)
        return left

    try:
        return tuple(_guarded(call, checked) for call in calls)
    except _RefusedError as error:
        return error.refusal


def work_of(policy: Policy, calls: tuple[ToolCall, ...]) -> int:
    """About how many nanoseconds it takes at worst to guard them."""
    rules, redactor = policy.rules.guards.output, policy.output_redactor or None
    texts = [call.name + call.arguments for call in calls]
    return sum(3 * len(text) * weight(rules, text, redactor) for text in texts)


def _guarded(call: ToolCall, checked: Callable[[str], str]) -> ToolCall:
    checked(call.name)
    raw, plain = checked(call.arguments), unescaped(call.arguments)
    left = raw if plain == call.arguments else checked(plain)
    arguments = read(call.arguments)
    if arguments is None:  # cut at the greatest length, or none at all: then it is a text
        return call.model_copy(update={"arguments": raw if left == plain else left})
    told = _values(arguments, checked, 0)
    if told == arguments and raw == call.arguments and left == plain:
        return call
    return call.model_copy(update={"arguments": orjson.dumps(told).decode()})


def _values(value: Any, checked: Callable[[str], str], depth: int) -> Any:
    """A number that is redacted becomes a text: a placeholder is none."""
    if depth > MAX_DEPTH:
        raise UpstreamError("the engine sent arguments of a tool that are nested too deeply")
    if isinstance(value, str):
        return checked(value)
    if isinstance(value, dict):
        return {checked(key): _values(item, checked, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_values(item, checked, depth + 1) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        written = str(value)
        left = checked(written)
        return value if left == written else left
    return value
