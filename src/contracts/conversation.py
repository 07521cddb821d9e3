"""What is said in a conversation beside the question, and how a client wishes it to be answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_STOPS = 4
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


class ToolCall(BaseModel):
    """A call that the model asks the client to make. `arguments` is JSON as the model wrote it, right or wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    arguments: str


class Message(BaseModel):
    """One message of a conversation. `tool_call_id` says which call a tool's result answers: both are ours, not the
    client's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class Tool(BaseModel):
    """A function that the model may ask the client to call. `parameters` is a JSON schema."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ToolName
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Conversation(BaseModel):
    """What goes with a question: the client's own `instruction`, what was said before it, and the calls of tools and
    their results behind it; both oldest first. `summary` is of what was said before `before`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instruction: str = ""
    summary: str = ""
    before: tuple[Message, ...] = ()
    after: tuple[Message, ...] = ()


class Options(BaseModel):
    """How the answer is to be made; what is None or empty, the platform decides. Nothing else of a client's wishes
    reaches an engine.

    `tool_choice` is `none`, `auto`, `required`, or `=NAME` for the one tool that must be called; `retrieve` overrides
    what the route says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: tuple[str, ...] = Field(default=(), max_length=MAX_STOPS)
    tools: tuple[Tool, ...] = Field(default=(), max_length=128)
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    retrieve: bool | None = None


NO_CONVERSATION, NO_OPTIONS = Conversation(), Options()
