"""Tools that a tenant has switched off: no request offers them to a model, and no answer calls them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from contracts.chat import Refusal
from router.domain.asked import Asked

BLOCKED_TOOL = "blocked_tool"
_MESSAGE = "I am sorry, I cannot help with that here: what it needs is switched off."


def refuse_tools(names: Iterable[str], blocked: Collection[str], stage: Literal["input", "output"]) -> Refusal | None:
    """Whatever the case of their letters."""
    if not blocked or {name.casefold() for name in names}.isdisjoint(name.casefold() for name in blocked):
        return None
    return Refusal(reason=BLOCKED_TOOL, rule_id="blocked_tools", stage=stage, message=_MESSAGE)


def tools_of(asked: Asked) -> Iterator[str]:
    """All that a request names: those the model may call, and those it has called before."""
    for tool in asked.options.tools:
        yield tool.name
    for message in (*asked.conversation.before, *asked.conversation.after):
        for call in message.tool_calls:
            yield call.name
