"""`/v1/pools`: how busy the engines are, as the orchestrator, which alone talks to them, last heard."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PoolState(BaseModel):
    """Of all replicas of a pool together. What an engine does not tell is null.

    `stale`: not heard for two seconds, or never; the other values are the last that were heard.
    """

    model_config = ConfigDict(frozen=True)

    running: int | None = Field(default=None, description="requests that are being generated")
    waiting: int | None = Field(default=None, description="requests in the engines' own queues")
    sequences: int = Field(description="requests that can be generated at once")
    kv_usage: float | None = Field(default=None, description="of the fullest replica's KV cache, 0 to 1")
    replicas: int = Field(description="of those that are set, how many can be connected to")
    stale: bool = False


class PoolsResponse(BaseModel):
    model_config = ConfigDict(frozen=True)

    pools: dict[str, PoolState]
