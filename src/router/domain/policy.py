"""A tenant's whole policy under one config version: a request runs under one from admission to its last token."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.chat import Route
from contracts.tenant import TenantId
from router.domain.limits import Window
from router.domain.refusal import RefusalRules
from tenancy.config import TenantConfig
from tenancy.ports import Revision, TenantRecord, TenantState
from tenancy.rules import compile_rules


@dataclass(frozen=True, slots=True)
class Policy:
    tenant_id: TenantId
    revision: Revision
    config: TenantConfig
    rules: RefusalRules
    windows: tuple[Window, ...]
    routes: tuple[Route, ...]

    @property
    def version(self) -> int:
        return self.revision.version

    @property
    def suspended(self) -> bool:
        return self.revision.state is TenantState.SUSPENDED

    @property
    def deleted(self) -> bool:
        return self.revision.state is TenantState.DELETING


def compile_policy(record: TenantRecord) -> Policy:
    """Of a record as it is stored. Not for an event loop: a thousand regular expressions take their time."""
    return policy_with(record, RefusalRules(record.config, compile_rules(record.config, stored=True)))


def policy_with(record: TenantRecord, rules: RefusalRules) -> Policy:
    """`rules` are those of the record's config."""
    config = record.config
    windows = (
        Window("requests_per_minute", config.rate_limit_per_minute, 60),
        Window("requests_per_hour", config.rate_limit_per_hour, 3_600),
    )
    return Policy(record.tenant_id, record.revision, config, rules, windows, config.all_routes())
