"""The prompt: the route's instruction, the question, and the numbered passages.

The wording (`app.templates`) was chosen by trying six on SmolLM2-135M-Instruct, the local default. With the passages
behind the question it repeats the facts and keeps their numbers; with them before it, or in the system message, it
mixes them up.
"Answer briefly" in the system message, or "Answer in English", made it worse at everything. Titles and headings, which
look to it like the beginning of a list, it copies instead of answering: so a passage is its running text alone.

A passage is data. It stands on one line between quotation marks, has none of its own and no token of a chat format, so
it can end neither its quotation nor the message. Of five ways to delimit it, this one left the answers as they were;
tags the model copies, or it answers from the last passage alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from app.ports import Message
from app.templates import Template, template_for
from contracts import conversation as spoken
from contracts.chat import Route
from contracts.conversation import NO_CONVERSATION, Conversation
from contracts.retrieval import Passage
from contracts.routes import BUILT_IN_ROUTES
from guard.control_tokens import without_control_tokens

_BUILT_IN = frozenset(route.system_prompt for route in BUILT_IN_ROUTES)
_QUOTES = str.maketrans({'"': "'", "\uff02": "'"})
_HEADING = re.compile(r"^ {0,3}#{1,6} .*$", re.MULTILINE)


def build_messages(
    route: Route,
    query: str,
    passages: Sequence[Passage],
    *,
    locale: str,
    flagged: Collection[str] = (),
    conversation: Conversation = NO_CONVERSATION,
) -> list[Message]:
    """A system message, what was said before, the question, and what followed it. Passage `n` of `passages` is marked
    `[n]`, those of the chunks `flagged` also as not to be obeyed."""
    own = without_control_tokens(conversation.instruction)
    template = template_for(route.name, locale)
    instruction = _instruction(route, template, own)
    asked = without_control_tokens(query)
    before = [_said(message) for message in conversation.before]
    if conversation.summary and before and before[0]["role"] == "user":
        before[0]["content"] = _after_summary(conversation.summary, before[0]["content"])
    elif conversation.summary:
        asked = _after_summary(conversation.summary, asked)
    question = f"{asked}\n\n{template.passages}\n{_numbered(passages, flagged, template)}" if passages else asked
    return [
        {"role": "system", "content": instruction},
        *before,
        {"role": "user", "content": question},
        *map(_said, conversation.after),
    ]


def _after_summary(summary: str, text: str) -> str:
    """As data before the first thing that the user says, so that it has no more weight than that: not the system's."""
    return f'(Of what was said before: "{_data(summary)}")\n\n{text}'


def _instruction(route: Route, template: Template, own: str) -> str:
    """What the tenant's admin wrote for the route comes first; the client's `own` is a paragraph behind it. What nobody
    of the tenant wrote, a built-in route's, gives way to it."""
    of_route = route.system_prompt or template.instruction
    if own and (not route.system_prompt or route.system_prompt in _BUILT_IN):
        of_route = ""
    return "\n\n".join(filter(None, (" ".join(filter(None, (of_route, template.language))), own)))


def _said(message: spoken.Message) -> Message:
    said: Message = {"role": message.role, "content": without_control_tokens(message.content)}
    if message.tool_calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": without_control_tokens(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    return said


def _numbered(passages: Sequence[Passage], flagged: Collection[str], template: Template) -> str:
    return "\n".join(
        f'[{number}] {template.untrusted if passage.chunk_id in flagged else ""}"{_data(passage.text)}"'
        for number, passage in enumerate(passages, start=1)
    )


def _data(text: str) -> str:
    """Never longer than the text: what fits into the prompt was reckoned with that."""
    return without_control_tokens(_one_line(_without_headings(text))).translate(_QUOTES)


def _without_headings(text: str) -> str:
    """Markdown headings are left out, unless there is nothing else."""
    return _HEADING.sub("", text).strip() or text


def _one_line(text: str) -> str:
    """A document must not be able to begin a line of its own, and so to pretend to be another passage."""
    return " ".join(text.split())
