"""What answers: judged before, told under the tenant's rules, remembered and settled."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

from observability.metrics import Metrics
from router.domain.worst_case import WorstCase
from router.service.accounts import Accounts
from router.service.chat import ChatService
from router.service.contexts import ContextFactory
from router.service.first_answers import FirstAnswers
from router.service.moderating import Moderating
from router.service.recent import RecentNotes
from router.service.remembering import Remembering
from router.service.rule_hits import RuleHits
from router.service.telling import Telling
from router.service.vetting import Vetting
from router.settings import Settings
from router.wiring.callees import Callees
from router.wiring.engines import EngineParts
from router.wiring.moderation import open_moderation
from router.wiring.rules import Rules
from servicekit.tokens import utc_now
from tenancy.ports import AuditLog


async def open_chat(
    settings: Settings,
    callees: Callees,
    contexts: ContextFactory,
    rules: Rules,
    engines: EngineParts,
    accounts: Accounts,
    remembering: Remembering,
    first_answers: FirstAnswers,
    notes: RecentNotes,
    audit: AuditLog,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> ChatService:
    timeout = timedelta(seconds=settings.request_timeout_s)
    hits = RuleHits(audit, metrics, now=utc_now)
    await stack.enter_async_context(hits.running())
    moderating = Moderating(open_moderation(settings, callees.session, metrics, stack), metrics)
    telling = Telling(accounts, rules.guarding, moderating, hits)
    return ChatService(
        accounts,
        engines.places,
        engines.pools,
        callees.turns,
        contexts,
        notes,
        Vetting(rules.judge, moderating, telling.note_redacted, metrics, timeout=timeout),
        remembering,
        telling,
        WorstCase(settings.engine_context_tokens, settings.max_answer_tokens, settings.max_passages_bytes),
        first_answers,
        timeout=timeout,
        hold=timedelta(seconds=settings.hold_without_replicas_s),
    )
