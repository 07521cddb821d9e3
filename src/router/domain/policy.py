"""A tenant's whole policy under one config version: a request runs under one from admission to its last token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.chat import Route
from contracts.external import EXTERNAL_POOL
from contracts.tenant import TenantId
from guard.redaction import Redactor
from guard.stream import StreamGuard
from guard.telephone import region_of
from router.domain.admission import Limits
from router.domain.limits import Window
from router.domain.pricing import NANO
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
    limits: Limits
    routes: tuple[Route, ...]
    input_redactor: Redactor
    output_redactor: Redactor
    instruction_bytes: int
    """Of the longest system prompt among the routes."""

    @property
    def version(self) -> int:
        return self.revision.version

    @property
    def pool(self) -> str:
        """The engine pool that serves the tenant; its own engine, elsewhere, comes first."""
        return EXTERNAL_POOL if self.config.external_engine is not None else self.config.pool

    @property
    def redacts_input(self) -> bool:
        return bool(self.input_redactor) or self.rules.guards.input.redacts

    def redacting_input(self, text: str, hits: set[int]) -> Iterator[str | None]:
        """A prompt without what is redacted in it, at the end; None after each piece of the work. Into `hits` come the
        ranks of the tenant's rules that redacted something."""
        for found in self.rules.guards.input.redacting(text, hits):
            yield None if found is None else self.input_redactor.redact(found)

    def output_guard(self) -> StreamGuard | None:
        """For one answer; None where nothing is looked for in answers."""
        rules = self.rules.guards.output
        if not rules.any and not self.output_redactor:
            return None
        return StreamGuard(rules, self.output_redactor or None)

    @property
    def suspended(self) -> bool:
        return self.revision.state is TenantState.SUSPENDED

    @property
    def deleted(self) -> bool:
        return self.revision.state is TenantState.DELETING


def compile_policy(record: TenantRecord) -> Policy:
    """Of a record as it is stored. Not for an event loop: a thousand regular expressions take their time."""
    return policy_with(record, RefusalRules(compile_rules(record.config, stored=True)))


def policy_with(record: TenantRecord, rules: RefusalRules) -> Policy:
    """`rules` are those of the record's config."""
    config = record.config
    windows = (
        Window("requests_per_minute", config.rate_limit_per_minute, 60),
        Window("requests_per_hour", config.rate_limit_per_hour, 3_600),
    )
    budget = config.monthly_budget_usd
    limits = Limits(
        config.rate_limit_per_minute,
        config.rate_limit_per_hour,
        config.tokens_per_minute,
        config.max_concurrent_requests,
        None if budget is None else round(budget * NANO),
    )
    routes = config.all_routes()
    longest = max(len((route.system_prompt or "").encode()) for route in routes)
    region = region_of(config.locale)
    redactors = Redactor(config.redact.input, region), Redactor(config.redact.output, region)
    return Policy(record.tenant_id, record.revision, config, rules, windows, limits, routes, *redactors, longest)
