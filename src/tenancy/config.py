"""A tenant's config, version 1 of the schema. What is not in force yet is not in the schema: it would be a lie."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.chat import Identifier, Locale, ModelName, NothingFound, PassageInjection, Route, RouteName, Score
from contracts.counted import at_most
from contracts.external import ExternalEngine
from contracts.pools import DEFAULT_POOL
from contracts.ranking import Ranking
from contracts.routes import BUILT_IN_ROUTES
from contracts.text import Storable
from guard.kinds import Kind
from guard.rules import Action, PatternType, Stage

MAX_RULES = 10_000
"""Compiled in a quarter of a second, in 14 MB; what is written in all of them is bounded by a config's bytes."""
_BUILT_IN = frozenset(route.name for route in BUILT_IN_ROUTES)


def _not_blank(pattern: str) -> str:
    if not pattern.strip():
        raise ValueError("the pattern is empty")
    return pattern


LiteralPattern = Annotated[str, StringConstraints(min_length=1, max_length=1_000), Storable, AfterValidator(_not_blank)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=2_000), Storable]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300), Storable]


class Tier(StrEnum):
    BASIC = "basic"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class RefusalRule(BaseModel):
    """A text of its stage that matches is answered with a refusal that gives `reason`; with the action `redact`, the
    match is replaced instead. Only its form is checked here: whether its pattern can be used, `tenancy.rules` says,
    which takes its time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: PatternType
    pattern: Pattern
    reason: Reason
    id: Identifier | None = None
    stage: Stage = Stage.INPUT
    action: Action = Action.REFUSE

    @model_validator(mode="after")
    def _looks_for_something(self) -> Self:
        if self.type is not PatternType.REGEX and not self.pattern.strip():
            raise ValueError("pattern: the pattern is empty")
        return self


ModerationStage = Literal["input", "output"]
STAGES: tuple[ModerationStage, ...] = ("input", "output")


def _in_order(stages: tuple[ModerationStage, ...]) -> tuple[ModerationStage, ...]:
    """Each once, so that two configs that mean the same are the same."""
    return tuple(stage for stage in STAGES if stage in stages)


class FailureMode(StrEnum):
    """What becomes of a text without a verdict: it is stopped, or let through."""

    CLOSED = "closed"
    OPEN = "open"


class ModerationConfig(BaseModel):
    """Which texts the platform's moderation service judges. Whether there is one, the platform knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: Annotated[tuple[ModerationStage, ...], AfterValidator(_in_order)] = Field(default=(), max_length=2)
    on_failure: FailureMode = FailureMode.CLOSED


def _each_once(kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
    return tuple(dict.fromkeys(kinds))


PoolName = Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?$")]
Kinds = Annotated[tuple[Kind, ...], Field(max_length=4 * len(Kind)), AfterValidator(_each_once)]


class Redact(BaseModel):
    """What is replaced by a placeholder before a prompt is sent on, and before an answer is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Kinds = ()
    output: Kinds = ()


class TenantConfig(BaseModel):
    """Immutable: a change is a new version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    display_name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), Storable] = ""
    tier: Tier = Tier.BASIC
    locale: Locale = "en-US"
    retention_days: int = Field(default=30, ge=0, le=3_650)
    blocked_tools: Annotated[tuple[Identifier, ...], at_most(MAX_RULES)] = Field(default=(), max_length=MAX_RULES)
    sensitive_prompt_patterns: Annotated[tuple[LiteralPattern, ...], at_most(MAX_RULES)] = Field(
        default=(), max_length=MAX_RULES
    )
    refusal_rules: Annotated[tuple[RefusalRule, ...], at_most(MAX_RULES)] = Field(default=(), max_length=MAX_RULES)
    moderation: ModerationConfig = ModerationConfig()
    redact: Redact = Redact()
    passage_injection: PassageInjection = "mark"
    strip_passage_links: bool = False
    min_passage_score: Score | None = None
    when_nothing_found: NothingFound = "answer"
    ranking: Ranking = Ranking()
    completions_retrieve: bool = False
    external_engine: ExternalEngine | None = None
    log_content: bool = False
    rate_limit_per_minute: int = Field(default=60, ge=1, le=1_000_000)
    rate_limit_per_hour: int = Field(default=1_000, ge=1, le=10_000_000)
    tokens_per_minute: int | None = Field(default=1_000_000, ge=1, le=1_000_000_000)
    max_concurrent_requests: int | None = Field(default=250, ge=1, le=100_000)
    monthly_budget_usd: float | None = Field(default=None, ge=0, le=1_000_000, allow_inf_nan=False)
    weight: float = Field(default=1.0, ge=0.1, le=100, allow_inf_nan=False)
    pool: PoolName = DEFAULT_POOL
    pool_spill: bool = False
    adapters: Annotated[tuple[ModelName, ...], at_most(256)] = Field(default=(), max_length=256)
    model: ModelName | None = None
    allowed_routes: Annotated[tuple[RouteName, ...], at_most(64)] = Field(
        default=tuple(route.name for route in BUILT_IN_ROUTES), max_length=64
    )
    routes: Annotated[tuple[Route, ...], at_most(32)] = Field(default=(), max_length=32)

    @model_validator(mode="after")
    def _routes_exist(self) -> Self:
        own = [route.name for route in self.routes]
        if len(set(own)) < len(own):
            raise ValueError("routes: two routes have the same name")
        if unknown := sorted(set(self.allowed_routes) - _BUILT_IN - set(own)):
            raise ValueError(
                f"allowed_routes: no such route: {', '.join(unknown)} "
                f"(built in: {', '.join(sorted(_BUILT_IN))}; others must be defined in `routes`)"
            )
        return self

    def models(self) -> frozenset[str]:
        """All that it names."""
        named = {self.model, *(route.model for route in self.routes)}
        return frozenset(name for name in named if name is not None)

    def all_routes(self) -> tuple[Route, ...]:
        """The tenant's own routes first; a built-in one of the same name gives way."""
        own = {route.name for route in self.routes}
        return (*self.routes, *(route for route in BUILT_IN_ROUTES if route.name not in own))
