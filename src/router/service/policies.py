"""Configs made into policies: checked, compiled and compared in threads of their own, never on the event loop."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from contracts.errors import BodyTooLargeError
from contracts.tenant import TenantId
from router.domain.config_fault import config_fault
from router.domain.policy import Policy, compile_policy, policy_with
from router.domain.refusal import RefusalRules
from router.service.engine_secrets import EngineSecrets
from servicekit.cpu_pool import CpuPool
from tenancy.config import RefusalRule, TenantConfig, Tier
from tenancy.ports import TenantRecord
from tenancy.rules import compile_rules
from tenancy.tiers import complete
from tenancy.warnings import ConfigWarning, warnings

MAX_CONFIG_BYTES = 1 << 20
"""Of a stored config as JSON."""
MAX_REMEMBERED = 1_000
"""Tenants whose last compiled rules are kept, so that what a write has compiled is not compiled again when read."""

R = TypeVar("R")


class Policies:
    """All that computes with configs, a piece of a tenant's work at a time."""

    def __init__(self, pool: CpuPool, *, moderated: bool = False, engines: EngineSecrets | None = None) -> None:
        """`moderated`: the platform has a moderation service. `engines`: tenants may have engines of their own."""
        self._pool = pool
        self._moderated = moderated
        self._engines = engines or EngineSecrets(None)
        self._remembered: OrderedDict[TenantId, tuple[_Patterns, RefusalRules]] = OrderedDict()

    async def run(self, tenant_id: TenantId, work: Callable[[], R]) -> R:
        return await self._pool.run(tenant_id, work)

    async def of(self, record: TenantRecord) -> Policy:
        """The policy of a record as it is stored."""
        known = self._remembered.get(record.tenant_id)
        if known is None:
            policy = await self.run(record.tenant_id, partial(compile_policy, record))
        else:
            policy = await self.run(record.tenant_id, partial(_compiled_again, record, *known))
        self._remember(policy)
        return policy

    async def checked(self, tenant_id: TenantId, said: Mapping[str, Any], tier: Tier) -> TenantConfig:
        """A config that may be stored, its secrets sealed, from the fields that were said. Raises pydantic's
        ValidationError, BodyTooLargeError, and DependencyDownError where a key service is asked and away."""
        config, rules = await self.run(tenant_id, partial(self._checked, said, tier))
        config = await self._engines.sealed(tenant_id, config)
        self._keep(tenant_id, config, rules)
        return config

    async def candidate(self, record: TenantRecord, said: Mapping[str, Any], tier: Tier) -> Policy:
        """The policy of a config that is not stored, at the revision of `record`. Raises as `checked` does."""

        def made() -> Policy:
            config, rules = self._checked(said, tier)
            return policy_with(TenantRecord(record.tenant_id, record.revision, config), rules)

        return await self.run(record.tenant_id, made)

    async def warnings(self, tenant_id: TenantId, config: TenantConfig) -> Sequence[ConfigWarning]:
        return await self.run(tenant_id, partial(warnings, config))

    def _checked(self, said: Mapping[str, Any], tier: Tier) -> tuple[TenantConfig, RefusalRules]:
        config = complete(said, tier)
        if config.moderation.stages and not self._moderated:
            raise _unmoderated()
        size = len(config.model_dump_json().encode())
        if size > MAX_CONFIG_BYTES:
            raise BodyTooLargeError(
                f"the config would have {size} bytes as JSON: {MAX_CONFIG_BYTES} are allowed",
                details={"bytes": size, "limit": MAX_CONFIG_BYTES},
            )
        return config, RefusalRules(compile_rules(config))

    def _remember(self, policy: Policy) -> None:
        self._keep(policy.tenant_id, policy.config, policy.rules)

    def _keep(self, tenant_id: TenantId, config: TenantConfig, rules: RefusalRules) -> None:
        self._remembered[tenant_id] = (_patterns(config), rules)
        self._remembered.move_to_end(tenant_id)
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


_Patterns = tuple[tuple[str, ...], tuple[RefusalRule, ...]]
"""All that compiled rules are made of."""


def _patterns(config: TenantConfig) -> _Patterns:
    return config.sensitive_prompt_patterns, config.refusal_rules


def _compiled_again(record: TenantRecord, patterns: _Patterns, rules: RefusalRules) -> Policy:
    return policy_with(record, rules) if _patterns(record.config) == patterns else compile_policy(record)


def _unmoderated() -> ValidationError:
    """Never stored as if texts were judged. What was stored before the service went fails as it says."""
    told = "this platform has no moderation service: leave the stages empty"
    return config_fault("unmoderated", told, ("moderation", "stages"))
