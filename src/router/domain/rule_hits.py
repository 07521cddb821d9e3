"""Rule hits as they stand in a tenant's audit log, and how many of them may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from contracts.chat import Refusal
from guard.rules import Rule
from router.domain.caller import Caller
from tenancy.audit import Actor, Deed

PER_MINUTE = 60
"""Of a tenant. A chain is kept for good, so that whoever hammers at a rule must not fill it: what goes beyond is one
event a minute, with a number."""
WINDOW_S = 60.0
MAX_WAITING = 120
"""Of a tenant, while the database is out of reach; the rest is counted."""
ACTION = "rule.hit"
_RULES = "rules"

LeftOut = Literal["rate", "full"]


@dataclass(frozen=True, slots=True)
class RuleHit:
    """Which rule did what, in the tenant's own words for it. Never what was matched, nor with what pattern."""

    rule_id: str
    stage: str
    action: Literal["refuse", "redact"]
    reason: str

    @classmethod
    def of(cls, refusal: Refusal) -> RuleHit:
        return cls(refusal.rule_id, refusal.stage, "refuse", refusal.reason)

    @classmethod
    def of_redaction(cls, rule: Rule, stage: Literal["input", "output"]) -> RuleHit:
        """Once a request and rule, however often it replaced something."""
        return cls(rule.rule_id, stage, "redact", rule.reason)


def deed_of(caller: Caller, hit: RuleHit, at: datetime) -> Deed:
    """`at`: when it was hit. The event's own time is when it was written, some seconds later."""
    details = {
        "stage": hit.stage,
        "action": hit.action,
        "reason": hit.reason,
        "config_version": caller.policy.version,
        "at": at.isoformat(timespec="milliseconds"),
    }
    return Deed(caller.actor(), ACTION, f"rule/{hit.rule_id}", details=details)


@dataclass(slots=True)
class TenantHits:
    """What of one tenant's hits waits to be written. `began` is a moment of a clock that only goes forward, in
    seconds: there a window of a minute begins."""

    began: float
    taken: int = 0
    waiting: list[Deed] = field(default_factory=list)
    left_out: int = 0
    left_out_since: datetime | None = None

    def take(self, deed: Callable[[], Deed], now: float, at: datetime, *, full: bool = False) -> LeftOut | None:
        """Why it will only be counted; None if it waits. `full`: there is no room for another.
        `deed` is made only if it waits: who hammers at a rule costs little."""
        if now - self.began >= WINDOW_S and not self.left_out:
            self.began, self.taken = now, 0
        if self.taken < PER_MINUTE and len(self.waiting) < MAX_WAITING and not full:
            self.taken += 1
            self.waiting.append(deed())
            return None
        self.left_out += 1
        self.left_out_since = self.left_out_since or at
        return "rate" if self.taken >= PER_MINUTE else "full"

    def due(self, now: float, at: datetime, *, at_end: bool = False) -> Sequence[Deed]:
        """What is to be written now: what waits, and once the window is over how many others there were."""
        counted = self.left_out and (at_end or now - self.began >= WINDOW_S)
        return [*self.waiting, *([self._count(at)] if counted else [])]

    def written(self, deeds: Sequence[Deed], now: float, at: datetime) -> int:
        """`deeds` were due, and nothing but `take` was called since. With the number a new window begins.
        Returns how many hits wait no more."""
        counted = deeds[-1].resource == _RULES
        del self.waiting[: len(deeds) - counted]
        if counted:
            self.left_out -= int(deeds[-1].details["hits"])
            self.left_out_since = at if self.left_out else None
            self.began, self.taken = now, len(self.waiting)
        return len(deeds) - counted

    def is_over(self, now: float) -> bool:
        """Nothing waits, and nothing has to be remembered."""
        return not self.waiting and not self.left_out and now - self.began >= WINDOW_S

    def _count(self, at: datetime) -> Deed:
        since = self.left_out_since or at
        details = {
            "hits": self.left_out,
            "since": since.isoformat(timespec="milliseconds"),
            "until": at.isoformat(timespec="milliseconds"),
        }
        return Deed(Actor("router", "service"), ACTION, _RULES, details=details)
