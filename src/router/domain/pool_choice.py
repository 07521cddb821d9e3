"""Which engine pool a request waits for: its tenant's own, or, where that is allowed, the shared one in its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from contracts.pools import DEFAULT_POOL, PoolState, usable_models
from tenancy.config import TenantConfig


def choose_pool(
    config: TenantConfig, states: Mapping[str, PoolState], with_room: Collection[str], model: str | None = None
) -> str:
    """`states`: what is known of the pools, nothing at first; `with_room`: those in which nobody would have to wait.

    The shared pool takes a request that the dedicated one has no replica for, or no room while it has some itself.
    Where the config or the request (`model`) names one, only if the shared pool serves it.
    """
    own = config.pool
    if not config.pool_spill or own == DEFAULT_POOL:
        return own
    shared = states.get(DEFAULT_POOL)
    if shared is None or not shared.replicas or not serves(shared, config, model):
        return own
    mine = states.get(own)
    if mine is None or not mine.replicas:
        return DEFAULT_POOL
    return DEFAULT_POOL if own not in with_room and DEFAULT_POOL in with_room else own


def serves(pool: PoolState, config: TenantConfig, model: str | None = None) -> bool:
    """Every model that the config names, and `model`, to this tenant."""
    named = config.models() | ({model} if model else set())
    return named <= {model.id for model in usable_models(pool.models, config.adapters)}
