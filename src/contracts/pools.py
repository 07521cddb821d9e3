"""`/v1/pools`: how busy the engines are and what they serve, as the orchestrator last heard."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_POOL = "pooled"
"""The pool that all tenants share which have none of their own."""


class ServedModel(BaseModel):
    """A model of a pool. One with a `parent` is a LoRA adapter over it: some tenant's, and nobody else's to know of."""

    model_config = ConfigDict(frozen=True)

    id: str
    parent: str | None = None
    context_tokens: int | None = Field(default=None, description="prompt and answer together, where the engine says it")


class PoolState(BaseModel):
    """Of all replicas of a pool together. What an engine does not tell is null.

    `stale`: not heard for a second, or never; the other values are the last that were heard. `models`: those that any
    usable replica serves, base models first; empty where none has told yet.
    """

    model_config = ConfigDict(frozen=True)

    running: int | None = Field(default=None, description="requests that are being generated")
    waiting: int | None = Field(default=None, description="requests in the engines' own queues")
    sequences: int = Field(description="requests that can be generated at once")
    kv_usage: float | None = Field(default=None, description="of the fullest replica's KV cache, 0 to 1")
    replicas: int = Field(description="how many take new work")
    known: int | None = Field(default=None, description="how many there are, in whatever state")
    stale: bool = False
    models: tuple[ServedModel, ...] = ()


class PoolsResponse(BaseModel):
    model_config = ConfigDict(frozen=True)

    pools: dict[str, PoolState]


def usable_models(models: Iterable[ServedModel], adapters: Collection[str]) -> tuple[ServedModel, ...]:
    """What a tenant may name of a pool's models: the base models, and the adapters that the platform has given it."""
    return tuple(model for model in models if model.parent is None or model.id in adapters)
