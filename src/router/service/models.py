"""The models that a tenant may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contracts.errors import DependencyDownError, ModelNotFoundError
from contracts.pools import PoolState, usable_models
from router.domain.policy import Policy

DEFAULT_MODEL = "atrium"
"""Whatever model is the tenant's own."""


class Models:
    """`states`: the pools, as last heard; nothing before that."""

    def __init__(self, states: Callable[[], Mapping[str, PoolState]]) -> None:
        self._states = states

    def of(self, policy: Policy) -> list[str]:
        """The tenant's default first, then what its own pool, or its own engine, serves to it."""
        if policy.config.external_engine is not None:
            return [DEFAULT_MODEL, policy.config.external_engine.model]
        pool = self._states().get(policy.pool)
        served = usable_models(pool.models, policy.config.adapters) if pool is not None else ()
        return [DEFAULT_MODEL, *(model.id for model in served)]

    def known(self, policy: Policy, name: str) -> str:
        """The name. Raises ModelNotFoundError; DependencyDownError where it is not known what there is."""
        names = self.of(policy)
        if name in names:
            return name
        if len(names) == 1:
            raise DependencyDownError("which models there are is not known yet", details={"dependency": "orchestrator"})
        raise ModelNotFoundError(f"the model `{name}` does not exist, or this tenant may not use it")

    def chosen(self, policy: Policy, name: str) -> str | None:
        """What an engine is asked for; None for the tenant's default. Raises as `known` does."""
        return None if self.known(policy, name) == DEFAULT_MODEL else name
