"""`/chat`: what a client sends, what it gets, and the events that travel from the orchestrator to the router."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from contracts.conversation import Conversation, Options, ToolCall
from contracts.external import ExternalEngine
from contracts.ranking import Ranking
from contracts.tenant import TenantId
from contracts.text import Storable

MAX_QUERY_CHARS = 32_768
"""Longer than any context this stack serves by default; beyond it a query is refused before it is looked at."""
MAX_PRIORITY = 1_000_000

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Locale = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*$")]
PassageInjection = Literal["ignore", "mark", "drop"]
"""What becomes of a retrieved passage that reads like orders to the model."""
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$")]
NothingFound = Literal["answer", "say_so"]
"""What becomes of a question for which no passage is near enough: the model answers it by itself, or the answer says
that nothing was found."""
Score = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
RouteName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Z][A-Z0-9_]*$")]
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUERY_CHARS), Storable]


class ChatRequest(BaseModel):
    """The body of `POST /chat`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: TenantId | None = None
    user_id: Identifier = "anonymous"
    session_id: Identifier | None = None
    query: Query
    locale: Locale | None = None
    stream: bool = False


class Source(BaseModel):
    """A passage that was retrieved for this answer and given to the model, as `[number]`. `score` is a cosine, -1 to 1.
    Numbers count from 1; 0 is an answer's that was kept before passages had any."""

    model_config = ConfigDict(frozen=True)

    number: int = 0
    chunk_id: str
    document_id: str
    title: str
    score: float


class Citation(Source):
    """A passage that the answer rests on. `marked`: the answer's text says so, as `[number]`; else its sentences were
    compared with the passages.

    `flagged`: it reads like orders to the model, which was told not to follow them.
    """

    snippet: str
    marked: bool = True
    flagged: bool = False


class Refusal(BaseModel):
    """Why the answer is "no". `rule_id` names the rule, never its pattern."""

    model_config = ConfigDict(frozen=True)

    reason: str
    rule_id: str
    stage: Literal["input", "route", "output"]
    message: str = Field(description="what to tell the user")


class Usage(BaseModel):
    """Tokens as the engine counted them.

    `cached_tokens` are those of the prompt that came from its prefix cache, where it says so: at the end of an answer.
    """

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0

    @classmethod
    def of(cls, prompt: int, completion: int, cached: int = 0) -> Self:
        return cls(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            cached_tokens=cached,
        )


class ChatAnswer(BaseModel):
    """The body of the answer to `POST /chat` without streaming."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    tenant_id: TenantId
    session_id: str
    route: str
    answer: str
    citations: list[Citation]
    sources: list[Source] = []
    degraded: bool = False
    refusal: Refusal | None
    usage: Usage
    cost_usd_estimate: float
    latency_ms: float
    queue_ms: float = 0.0
    timings_ms: dict[str, float] = {}
    config_version: int


class Route(BaseModel):
    """An intent: what it is for, questions that belong to it, and how such a question is answered.

    `counter_examples` are questions that look like the route's and are not: one that is nearer to such a one than to
    its examples is not the route's. `retrieve_required`: without the tenant's documents it is not answered at all;
    else, while they are out of reach, without them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: RouteName
    description: Annotated[str, StringConstraints(max_length=1_000), Storable] = ""
    examples: tuple[Annotated[str, StringConstraints(min_length=1, max_length=500), Storable], ...] = Field(
        default=(), max_length=50
    )
    counter_examples: tuple[Annotated[str, StringConstraints(min_length=1, max_length=500), Storable], ...] = Field(
        default=(), max_length=50
    )
    system_prompt: Annotated[str, StringConstraints(max_length=4_000), Storable] | None = None
    retrieve: bool = True
    retrieve_required: bool = False
    tools: tuple[Identifier, ...] = Field(default=(), max_length=32)
    model: ModelName | None = None


class Summarise(BaseModel):
    """The oldest `messages` of the conversation are to be summarised behind the answer, together with its summary.
    `prompt_tokens` is what the whole turn may use for prompts; for answers that is the turn's `max_tokens`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: int = Field(ge=1)
    prompt_tokens: int = Field(ge=1)


class TurnRequest(BaseModel):
    """Router to orchestrator: one question with what goes with it, how its answer is to be made, and the part of the
    tenant's config that decides over that.

    The tenant itself is not here: it comes from the service token. `max_tokens` bounds the answer; the orchestrator's
    own bound holds where none is given or a greater one. Of two turns that wait in the engine, the one with the lower
    `priority` goes first. The client's `options.model` goes before the route's, that before `model`; `adapters` are the
    LoRA adapters that any of them may be. `passage_injection` and `strip_passage_links` say how retrieved passages are
    treated, `min_passage_score` (a cosine; None: the platform's) from which score on they count, and
    `when_nothing_found` what is done without any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str
    conversation: Conversation = Conversation()
    options: Options = Options()
    summarise: Summarise | None = None
    locale: str
    routes: tuple[Route, ...]
    blocked_tools: tuple[str, ...] = ()
    model: str | None = None
    adapters: tuple[str, ...] = ()
    max_tokens: int | None = Field(default=None, ge=1)
    priority: int = Field(default=0, ge=-MAX_PRIORITY, le=MAX_PRIORITY)
    passage_injection: PassageInjection = "mark"
    strip_passage_links: bool = False
    min_passage_score: Score | None = None
    when_nothing_found: NothingFound = "answer"
    ranking: Ranking = Ranking()
    external: ExternalEngine | None = None


class MetaEvent(BaseModel):
    """First of a turn. Sent once the engine has taken the request, or it is sure that none is needed.

    `runner_up` is the best route that was not chosen. `degraded`: the RAG service was away, so that the route is a
    guess, or nothing was retrieved. `model` is empty where no engine was asked; `prompt` is the version of the prompt's
    templates."""

    event: Literal["meta"] = "meta"
    route: str
    route_score: float
    runner_up: str | None = None
    runner_up_score: float | None = None
    model: str
    prompt: str = ""
    chunk_ids: list[str] = []
    degraded: bool = False


@dataclass(slots=True)
class TokenEvent:
    """`prompt_tokens` and `completion_tokens` are what the turn has used up to here: whoever stops reading knows it.

    No model, since one is made per token, and making a model takes as long as all else that is done with it.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    event: Literal["token"] = "token"


class ToolCallsEvent(BaseModel):
    """The calls that the model asks for, whole, behind all text: what is judged must not depend on how it was cut."""

    event: Literal["tool_calls"] = "tool_calls"
    calls: tuple[ToolCall, ...]


class CitationsEvent(BaseModel):
    """`sources` are all passages that the model was given; `citations` those that the answer rests on."""

    event: Literal["citations"] = "citations"
    citations: list[Citation]
    sources: list[Source] = []


class SummaryEvent(BaseModel):
    """What was asked for by `TurnRequest.summarise`: for the router to keep, and for nobody to be told."""

    event: Literal["summary"] = "summary"
    text: str


class UsageEvent(BaseModel):
    event: Literal["usage"] = "usage"
    usage: Usage


class DoneEvent(BaseModel):
    """`timings_ms`: how long each step of the turn took."""

    event: Literal["done"] = "done"
    finish_reason: str
    timings_ms: dict[str, float] = {}


class RefusalEvent(BaseModel):
    event: Literal["refusal"] = "refusal"
    refusal: Refusal


class ErrorEvent(BaseModel):
    event: Literal["error"] = "error"
    code: str
    message: str


TurnEvent = Annotated[
    MetaEvent
    | TokenEvent
    | ToolCallsEvent
    | CitationsEvent
    | SummaryEvent
    | UsageEvent
    | DoneEvent
    | RefusalEvent
    | ErrorEvent,
    Field(discriminator="event"),
]
"""One line of the orchestrator's answer (`application/x-ndjson`); `done`, `refusal` or `error` is the last."""

TURN_EVENT: TypeAdapter[TurnEvent] = TypeAdapter(TurnEvent)
