"""A turn's events on their way from the orchestrator to the client: counted, judged, told, settled.

Everything that was used is counted as it comes, whatever of it is told. The last word is told once the request's row
stands in the ledger, and its answer is kept for who asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from functools import partial
from typing import Literal

from contracts.chat import DoneEvent, ErrorEvent, RefusalEvent, SummaryEvent, TurnEvent, UsageEvent
from contracts.errors import UpstreamError
from guard.rules import Rule
from router.domain.caller import Caller
from router.domain.first_answer import FirstAnswer
from router.domain.rule_hits import RuleHit
from router.domain.transcript import Transcript
from router.service.accounts import Account, Accounts, outcome_of
from router.service.engine_places import Place
from router.service.first_answers import Once
from router.service.guarding import Guarding
from router.service.moderating import Moderating
from router.service.remembering import Keep
from router.service.rule_hits import RuleHits
from tenancy.usage import Outcome

_LAST = DoneEvent | RefusalEvent | ErrorEvent


class Telling:
    def __init__(self, accounts: Accounts, guarding: Guarding, moderating: Moderating, hits: RuleHits) -> None:
        self._accounts = accounts
        self._guarding = guarding
        self._moderating = moderating
        self._hits = hits

    @asynccontextmanager
    async def told(
        self,
        account: Account,
        transcript: Transcript,
        events: AsyncIterator[TurnEvent],
        *,
        once: Once,
        keep: Keep,
        place: Place | None = None,
    ) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        """What the client may see of `events`, noted in `transcript` and kept; `events` stays its owner's to close.

        Reading raises UpstreamError where they end too early, ModerationUnavailableError, and what they raise.
        """
        async with (
            aclosing(_counted(account, events, place)) as counted,
            self._guarding.output(
                account.caller.policy, counted, partial(self.note_redacted, account.caller, stage="output")
            ) as guarded,
            self._moderating.output(account.caller.policy, guarded) as judged,
            aclosing(self._told(account, transcript, judged, once, keep)) as told,
        ):
            keep.follow(transcript)
            yield told

    def note_redacted(self, caller: Caller, rules: Sequence[Rule], stage: Literal["input", "output"]) -> None:
        """The tenant's rules that replaced something in a request, each once."""
        for rule in rules:
            self._hits.note(caller, RuleHit.of_redaction(rule, stage))

    @asynccontextmanager
    async def again(
        self,
        caller: Caller,
        transcript: Transcript,
        events: AsyncIterator[TurnEvent],
        *,
        first: FirstAnswer,
        moderated: bool,
    ) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        """What the client may see today of an answer that was given before. It uses nothing: `moderated` says whether
        it is to be judged by more than the tenant's rules, since nothing limits how often it is asked for."""
        async with (
            self._guarding.output(caller.policy, events) as guarded,
            self._moderating.output(caller.policy, guarded) if moderated else nullcontext(guarded) as judged,
            aclosing(self._repeated(caller, transcript, judged, first)) as told,
        ):
            yield told

    async def _repeated(
        self, caller: Caller, transcript: Transcript, events: AsyncIterator[TurnEvent], first: FirstAnswer
    ) -> AsyncGenerator[TurnEvent, None]:
        async for event in events:
            if isinstance(event, UsageEvent):
                yield UsageEvent(usage=first.usage)
                continue
            transcript.add(event)
            if isinstance(event, RefusalEvent) and event != first.end:
                self._hits.note(caller, RuleHit.of(event.refusal))
            yield event

    async def _told(
        self, account: Account, transcript: Transcript, events: AsyncIterator[TurnEvent], once: Once, keep: Keep
    ) -> AsyncGenerator[TurnEvent, None]:
        with account.failing():
            async for event in events:
                if isinstance(event, UsageEvent):
                    # Of an answer that is cut short here, more may have been used than its judge had seen.
                    yield UsageEvent(usage=account.used.usage)
                    continue
                if isinstance(event, SummaryEvent):
                    await keep.summarised(event)
                    continue
                transcript.add(event)
                if isinstance(event, _LAST):
                    await self._ended(account, transcript, event, once, keep)
                yield event

    async def _ended(self, account: Account, transcript: Transcript, last: _LAST, once: Once, keep: Keep) -> None:
        if isinstance(last, RefusalEvent) and last.refusal.stage != "route":
            self._hits.note(account.caller, RuleHit.of(last.refusal))
        settled = self._accounts.settled(account, _outcome(last))
        if isinstance(last, ErrorEvent):
            await settled
        else:
            first = FirstAnswer.of(
                account.caller, account.session_id, transcript, account.used.usage, last, account.cost_usd
            )
            await asyncio.gather(settled, once.keep(first), keep.told(transcript))


async def _counted(
    account: Account, events: AsyncIterator[TurnEvent], place: Place | None
) -> AsyncGenerator[TurnEvent, None]:
    used = account.used
    event: TurnEvent | None = None
    async for event in events:
        used.add(event)
        if place is not None and (used.prompt_tokens or isinstance(event, RefusalEvent | DoneEvent)):
            place.charge(used.prompt_tokens, used.completion_tokens)
        yield event
    if not isinstance(event, _LAST):
        raise UpstreamError("the orchestrator broke off")


def _outcome(last: _LAST) -> Outcome:
    match last:
        case DoneEvent():
            return Outcome.ANSWERED
        case RefusalEvent():
            return Outcome.REFUSED
        case ErrorEvent():
            return outcome_of(last.code)
