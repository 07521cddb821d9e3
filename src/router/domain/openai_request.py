"""What may be sent to `POST /v1/chat/completions`: these fields and no other, at every level.

A field that OpenAI knows and that is not supported here may be null, as some clients send what they leave out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from contracts.chat import Identifier, Locale
from contracts.conversation import MAX_STOPS, ToolName
from contracts.text import Storable
from router.domain.openai_text import Content, Text

MAX_MESSAGES = 512
MAX_TOOLS = 128
MAX_CALLS = 64
MAX_STOP_CHARS = 128
MAX_DESCRIPTION_CHARS = 8_192
_AS_THEY_ARE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


def _refused(value: Any) -> None:
    if value is not None:
        raise ValueError("is not supported here: leave it out")


def _unused(value: Any) -> None:
    """Something that asks for nothing."""
    if value is not None and value is not False and value not in ({}, [], 0):
        raise ValueError("is not supported here: leave it out")


def _user_id(value: Any) -> Any:
    """A user id has no space and only ASCII: what else stands in OpenAI's `user` is percent-encoded, and so no two are
    the same. An empty one names nobody."""
    return (quote(value, safe=_AS_THEY_ARE) or None) if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Refused = Annotated[None, BeforeValidator(_refused)]
Unused = Annotated[None, BeforeValidator(_unused)]
Dropped = Any
"""What clients add to an answer when they read it, and send back with it: neither judged nor told to anybody."""
CallId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Name = Annotated[str, StringConstraints(max_length=64)]
Hint = Annotated[str, StringConstraints(max_length=256)]
"""For OpenAI's own machinery: which cache, whose account. Ours knows both without being told."""
Stop = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STOP_CHARS), Storable]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class CalledFunction(_Strict):
    """`parsed_arguments`: what the `parse` and `stream` of OpenAI's client made of the arguments."""

    name: ToolName
    arguments: Text
    parsed_arguments: Dropped = None


class CalledTool(_Strict):
    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction
    index: Dropped = None


class SaidMessage(_Strict):
    """A message of any role. `name` is taken and told to nobody: no chat format here has a place for it; nor are the
    thoughts before an answer, which chat formats leave out of later turns."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None
    name: Name | None = None
    refusal: Text | None = None
    tool_calls: list[CalledTool] | None = Field(default=None, max_length=MAX_CALLS)
    tool_call_id: CallId | None = None
    function_call: Refused = None
    audio: Refused = None
    annotations: Unused = None
    parsed: Dropped = None
    reasoning_content: Dropped = None


class FunctionDefinition(_Strict):
    name: ToolName
    description: Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION_CHARS), Storable] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolDefinition(_Strict):
    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(_Strict):
    name: ToolName


class NamedTool(_Strict):
    type: Literal["function"]
    function: NamedFunction


class SchemaFormat(_Strict):
    name: ToolName
    description: Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION_CHARS), Storable] | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None


class StreamOptions(_Strict):
    include_usage: bool | None = None
    include_obfuscation: Unused = None


class AtriumWishes(_Strict):
    """Of `extra_body={"atrium": …}`. `retrieve`: whether the tenant's documents are searched for the question."""

    retrieve: bool | None = None
    session_id: Identifier | None = None
    locale: Locale | None = None


def _one_choice(value: int | None) -> int | None:
    if value not in {None, 1}:
        raise ValueError("only one choice is made: n is 1")
    return value


class CompletionRequest(_Strict):
    """The body of `POST /v1/chat/completions`."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=256), Storable]
    messages: list[SaidMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int | None, AfterValidator(_one_choice)] = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Annotated[list[Stop] | None, BeforeValidator(_listed)] = Field(default=None, max_length=MAX_STOPS)
    tools: list[ToolDefinition] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    user: Annotated[Identifier | None, BeforeValidator(_user_id)] = None
    atrium: AtriumWishes | None = None
    logprobs: Unused = None
    top_logprobs: Unused = None
    logit_bias: Unused = None
    metadata: Unused = None
    store: Unused = None
    service_tier: Literal["auto", "default"] | None = None
    prompt_cache_key: Hint | None = None
    prompt_cache_retention: Hint | None = None
    safety_identifier: Hint | None = None
    modalities: list[Literal["text"]] | None = None
    functions: Refused = None
    function_call: Refused = None
    audio: Refused = None
    prediction: Refused = None
    reasoning_effort: Refused = None
    verbosity: Refused = None
    web_search_options: Refused = None
