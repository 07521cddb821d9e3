"""What a client asks, by whichever door it came."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import orjson
from pydantic import BaseModel, ConfigDict

from contracts.chat import ChatRequest, Identifier, Locale, Query
from contracts.conversation import Conversation, Message, Options, ToolCall
from router.domain.arguments import plainly, read


class Asked(BaseModel):
    """One question, what goes with it, and how its answer is to be made."""

    model_config = ConfigDict(frozen=True)

    query: Query
    user_id: Identifier = "anonymous"
    session_id: Identifier | None = None
    locale: Locale | None = None
    conversation: Conversation = Conversation()
    options: Options = Options()
    keeps_conversation: bool = False
    """The client keeps its conversation itself: nothing is recalled for it, and nothing is kept."""

    @property
    def session(self) -> str:
        """The one that is named; else, of a client that keeps its conversation itself, one by which the next request of
        the same conversation is known, so that it finds the replica that has its prefix: by who asks, the instruction
        and the first message. Else a new one."""
        if self.session_id is not None:
            return self.session_id
        if not self.keeps_conversation:
            return uuid.uuid4().hex
        said = self.conversation
        first = said.before[0].content if said.before else self.query
        named = "\0".join((self.user_id, said.instruction, first))
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    @property
    def remembered(self) -> bool:
        """Whether the session is ours to remember: not where what was said before comes with the question. The calls of
        tools and their results behind it belong to the question: what was said before them is recalled."""
        return not (self.keeps_conversation or self.conversation.before)

    @classmethod
    def of(cls, request: ChatRequest) -> Self:
        return cls(query=request.query, user_id=request.user_id, session_id=request.session_id, locale=request.locale)

    def texts(self) -> tuple[str, ...]:
        """Every text of it that reaches an engine: the question first, then in the order of the conversation."""
        said = self.conversation
        return (self.query, said.instruction, said.summary, *_texts(said.before), *_texts(said.after))

    def unescaped(self) -> tuple[str, ...]:
        """The same texts, the calls' arguments with all characters written as they are: behind an escaped space no
        detector knows a number."""
        said = self.conversation
        return (
            self.query,
            said.instruction,
            said.summary,
            *_texts(said.before, _plainly),
            *_texts(said.after, _plainly),
        )

    def with_texts(self, texts: Sequence[str]) -> Self:
        """The same with other texts, in the order of `texts`; arguments as `unescaped` has them stay as they were."""
        left = iter(texts)
        query, instruction, summary = next(left), next(left), next(left)
        said = Conversation(
            instruction=instruction,
            summary=summary,
            before=tuple(_rewritten(message, left) for message in self.conversation.before),
            after=tuple(_rewritten(message, left) for message in self.conversation.after),
        )
        return self.model_copy(update={"query": query, "conversation": said})

    def schemas(self) -> tuple[str, ...]:
        """What the engine is told beside the texts: the tools and the form of the answer, as JSON. It is judged like
        a text, but not rewritten: that would break it."""
        return tuple(orjson.dumps(one).decode() for one in self._described())

    def escaped(self) -> tuple[str, ...]:
        """The strings in all that is told as JSON, as they are, where JSON writes them otherwise: a rule that looks for
        two words would not know a line break between them by its escape."""
        said = (*self.conversation.before, *self.conversation.after)
        arguments = (read(call.arguments) for message in said for call in message.tool_calls)
        return tuple(
            text for value in (*self._described(), *arguments) for text in _strings(value) if _is_escaped(text)
        )

    def _described(self) -> list[object]:
        options = self.options
        told: list[object] = [tool.model_dump(exclude_none=True) for tool in options.tools]
        return [*told, options.response_format] if options.response_format else told

    def bytes(self) -> int:
        """Of all that is told, in UTF-8."""
        return sum(len(text.encode()) for text in (*self.texts(), *self.schemas()))

    def fingerprint(self) -> str:
        """The same for the same request."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()


def _texts(messages: Sequence[Message], written: Callable[[str], str] = str) -> Iterator[str]:
    for message in messages:
        yield message.content
        for call in message.tool_calls:
            yield call.name
            yield written(call.arguments)


def _rewritten(message: Message, texts: Iterator[str]) -> Message:
    content = next(texts)
    calls = tuple(
        ToolCall(id=call.id, name=next(texts), arguments=_still_json(call.arguments, next(texts)))
        for call in message.tool_calls
    )
    return message.model_copy(update={"content": content, "tool_calls": calls})


def _still_json(before: str, after: str) -> str:
    """A placeholder in the place of a number is no JSON, and an engine takes nothing else for arguments."""
    if after in {before, _plainly(before)}:
        return before
    return after if _is_json(after) else orjson.dumps({"arguments": after}).decode()


def _plainly(arguments: str) -> str:
    """As they are where they have no such escapes, too."""
    return (plainly(arguments) if "\\u" in arguments else None) or arguments


def _is_json(text: str) -> bool:
    return read(text) is not None


def _strings(value: object) -> Iterator[str]:
    """Names and values alike, in any order. Without recursion: arguments may be as deep as they like."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as fields:
                waiting.extend((*fields, *fields.values()))
            case list() as items:
                waiting.extend(items)


def _is_escaped(text: str) -> bool:
    return '"' in text or "\\" in text or any(one < " " for one in text)
