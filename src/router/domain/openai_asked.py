"""A completions request as what is asked, whichever door it came by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import orjson

from contracts.conversation import Conversation, Message, Options, Tool, ToolCall
from contracts.errors import InvalidRequestError
from router.domain.asked import Asked
from router.domain.openai_request import CalledTool, CompletionRequest, NamedTool, SaidMessage
from router.domain.openai_schemas import SchemaBounds, UnusableSchemaError

MAX_BYTES = 512 * 1024
"""Of all that the engine is told, in UTF-8: more than any context takes that is served here."""
MAX_ANSWER = 2**31 - 1
"""Tokens; the platform's own bound is far below."""
_SYSTEM = frozenset({"system", "developer"})


def asked_of(body: CompletionRequest, *, user_id: str | None, model: str | None, retrieve: bool) -> Asked:
    """`model`: what the engine is asked for, None for the tenant's own; `retrieve`: where the request does not say.

    Raises InvalidRequestError.
    """
    if body.stream_options is not None and not body.stream:
        _refuse("stream_options", "only together with `stream: true`")
    wishes = body.atrium
    query, conversation = _conversation(body.messages)
    asked = Asked(
        query=query,
        user_id=user_id or "anonymous",
        session_id=wishes.session_id if wishes else None,
        locale=wishes.locale if wishes else None,
        conversation=conversation,
        keeps_conversation=not (wishes and wishes.session_id),
        options=_options(body, model, wishes.retrieve if wishes and wishes.retrieve is not None else retrieve),
    )
    if asked.bytes() > MAX_BYTES:
        _refuse("messages", f"messages, tools and response_format have more than {MAX_BYTES} bytes together")
    return asked


def _conversation(messages: Sequence[SaidMessage]) -> tuple[str, Conversation]:
    """The question is what the user said last; what the system said, wherever it stands, is one instruction."""
    for at, message in enumerate(messages):
        _check(f"messages[{at}]", message)
    last = max((at for at, message in enumerate(messages) if message.role == "user"), default=None)
    if last is None:
        _refuse("messages", "there is no message of the role `user`")
    query = (messages[last].content or "").strip()
    if not query:
        _refuse(f"messages[{last}].content", "the last message of the role `user` is empty")
    _check_results(messages)
    instruction = "\n\n".join(one.content for one in messages if one.role in _SYSTEM and one.content)
    ids = _CallIds()
    return query, Conversation(
        instruction=instruction, before=_spoken(messages[:last], ids), after=_spoken(messages[last + 1 :], ids)
    )


class _CallIds(dict[str, str]):
    """What calls are known by to the engine, instead of the client's own ids: some chat formats write them into the
    prompt, and no rule has read them. Nine letters and digits, since that is all that Mistral's formats take."""

    def __missing__(self, said: str) -> str:
        found = self[said] = f"call{len(self) + 1:05d}"
        return found


def _spoken(messages: Sequence[SaidMessage], ids: _CallIds) -> tuple[Message, ...]:
    return tuple(_said(one, ids) for one in messages if one.role not in _SYSTEM)


def _check(path: str, message: SaidMessage) -> None:
    """What belongs to a role, and to no other."""
    if (message.tool_call_id is not None) != (message.role == "tool"):
        _refuse(f"{path}.tool_call_id", "a message of the role `tool` has one, and no other")
    if message.role != "assistant" and (message.tool_calls or message.refusal):
        _refuse(path, "only a message of the role `assistant` has tool_calls or a refusal")
    if message.role != "assistant" and message.content is None:
        _refuse(f"{path}.content", "is missing")
    for at, call in enumerate(message.tool_calls or ()):
        if not _is_object(_arguments(call)):
            _refuse(f"{path}.tool_calls[{at}].function.arguments", "is not an object as JSON")


def _check_results(messages: Sequence[SaidMessage]) -> None:
    """Each result answers a call of the answer right before it, beside which only other results may stand: without its
    call, chat formats leave it out, or show it as somebody's words."""
    called: set[str] = set()
    for at, message in enumerate(messages):
        if message.role == "tool" and message.tool_call_id not in called:
            _refuse(f"messages[{at}].tool_call_id", "answers no call of a message right before it")
        if message.role not in {"tool", *_SYSTEM}:
            called = {call.id for call in message.tool_calls or ()}


def _arguments(call: CalledTool) -> str:
    """Some servers tell a call without arguments as an empty text, which their clients send back."""
    return call.function.arguments or "{}"


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        return False


def _said(message: SaidMessage, ids: _CallIds) -> Message:
    assert message.role not in _SYSTEM  # noqa: S101  the caller left those out
    return Message.model_validate(
        {
            "role": message.role,
            "content": message.content or message.refusal or "",
            "tool_calls": tuple(_called(call, ids) for call in message.tool_calls or ()),
            "tool_call_id": None if message.tool_call_id is None else ids[message.tool_call_id],
        }
    )


def _called(call: CalledTool, ids: _CallIds) -> ToolCall:
    return ToolCall(id=ids[call.id], name=call.function.name, arguments=_arguments(call))


def _options(body: CompletionRequest, model: str | None, retrieve: bool) -> Options:
    bounds = SchemaBounds()
    most = body.max_completion_tokens or body.max_tokens
    return Options(
        model=model,
        max_tokens=None if most is None else min(most, MAX_ANSWER),
        temperature=body.temperature,
        top_p=body.top_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        seed=body.seed,
        stop=tuple(body.stop or ()),
        tools=_tools(body, bounds),
        tool_choice=_choice(body),
        parallel_tool_calls=body.parallel_tool_calls,
        response_format=_format(body, bounds),
        retrieve=retrieve,
    )


def _tools(body: CompletionRequest, bounds: SchemaBounds) -> tuple[Tool, ...]:
    found: dict[str, Tool] = {}
    must = body.tool_choice == "required" or isinstance(body.tool_choice, NamedTool)
    for at, tool in enumerate(body.tools or ()):
        said, path = tool.function, f"tools[{at}].function"
        if said.name in found:
            _refuse(f"{path}.name", "two tools have this name")
        if said.parameters is not None:
            _check_schema(bounds, f"{path}.parameters", said.parameters, grammar=must or bool(said.strict))
        found[said.name] = Tool(
            name=said.name, description=said.description or "", parameters=said.parameters, strict=said.strict
        )
    return tuple(found.values())


def _choice(body: CompletionRequest) -> str | None:
    choice, names = body.tool_choice, {tool.function.name for tool in body.tools or ()}
    if isinstance(choice, NamedTool):
        if choice.function.name not in names:
            _refuse("tool_choice.function.name", "is none of the tools")
        return f"={choice.function.name}"
    if choice == "required" and not names:
        _refuse("tool_choice", "there are no tools to choose of")
    return choice


def _format(body: CompletionRequest, bounds: SchemaBounds) -> dict[str, Any] | None:
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "json_object"}
    if wanted.json_schema is None:
        _refuse("response_format.json_schema", "is missing")
    _check_schema(bounds, "response_format.json_schema.schema", wanted.json_schema.schema_, grammar=True)
    return {"type": "json_schema", "json_schema": wanted.json_schema.model_dump(by_alias=True, exclude_none=True)}


def _check_schema(bounds: SchemaBounds, path: str, schema: dict[str, Any], *, grammar: bool) -> None:
    try:
        bounds.check(schema, grammar=grammar)
    except UnusableSchemaError as error:
        _refuse(path, str(error))


def _refuse(path: str, reason: str) -> NoReturn:
    raise InvalidRequestError(f"{path}: {reason}", details={"faults": [{"path": path, "reason": reason}]})
