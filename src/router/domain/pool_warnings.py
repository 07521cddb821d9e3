"""What a config asks of the engine pools that they do not have, as far as is known: told at save, and no reason to
refuse it, for a pool may get the model in a minute, and lose it in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from contracts.pools import DEFAULT_POOL, PoolState, usable_models
from router.domain.pool_choice import serves
from tenancy.config import TenantConfig
from tenancy.warnings import ConfigWarning

_UNKNOWN = "no such engine pool is known now: requests are answered with pool_unavailable until there is one"
_UNCHECKED = "not checked: the engines have not told their models"
_NOT_SERVED = "the engine pool serves no such model to this tenant now: requests are answered with model_unavailable"


def pool_warnings(config: TenantConfig, states: Mapping[str, PoolState]) -> Iterator[ConfigWarning]:
    """`states`: what was last heard; nothing before that. An adapter that is another tenant's is told of in the same
    words as a model that nobody has."""
    named = list(_models(config))
    own = states.get(config.pool)
    if own is None and states:
        yield ConfigWarning("pool", _UNKNOWN)
    elif named and (own is None or not own.models):
        yield from (ConfigWarning(path, _UNCHECKED) for path, _ in named)
    elif own is not None:
        usable = {model.id for model in usable_models(own.models, config.adapters)}
        yield from (ConfigWarning(path, _NOT_SERVED) for path, model in named if model not in usable)
    if config.pool_spill and config.pool == DEFAULT_POOL:
        yield ConfigWarning("pool_spill", "has no effect: the pool is the shared one")
    elif config.pool_spill and (shared := states.get(DEFAULT_POOL)) and shared.models and not serves(shared, config):
        yield ConfigWarning("pool_spill", "has no effect: the shared pool does not serve every model that is named")


def _models(config: TenantConfig) -> Iterator[tuple[str, str]]:
    if config.model is not None:
        yield "model", config.model
    for number, route in enumerate(config.routes):
        if route.model is not None:
            yield f"routes[{number}].model", route.model
