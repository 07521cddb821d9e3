"""What two configs make of the same prompts, side by side. Nothing here is counted, kept or sent anywhere.

The order is a real request's: the limits first, then the rules on the prompt, then the route. What a later step would
have said of a request that an earlier one stopped is not asked, as it is not asked of a real one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from contracts.chat import Refusal
from contracts.classification import RouteDecision
from router.domain.limits import Window
from router.domain.sliding_windows import SlidingWindows

Outcome = Literal["answered", "refused", "limited"]
OUTCOMES: tuple[Outcome, ...] = ("answered", "refused", "limited")


@dataclass(frozen=True, slots=True)
class Prompt:
    """`at` (aware): when it was sent; without it, at the moment of the dry run, together with the others without."""

    query: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """What one config says of the prompts, each by its place; None where it has nothing against it, or was not asked.

    A decision is there for every prompt that is neither limited nor refused.
    """

    limited_by: Sequence[str | None]
    refusals: Sequence[Refusal | None]
    decisions: Sequence[RouteDecision | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one prompt. `refused_by` is a rule's id; a refused route is named as well, with its score."""

    outcome: Outcome
    refused_by: str | None = None
    reason: str | None = None
    stage: str | None = None
    limited_by: str | None = None
    route: str | None = None
    route_score: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`changed`: anything but the score. A rule without an id is named by its place, so moving it is a change."""

    today: Verdict
    candidate: Verdict
    changed: bool


@dataclass(frozen=True, slots=True)
class Count:
    today: int
    candidate: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers of prompts. `rules` and `limits` name only what stopped a prompt on either side.

    `rerouted`: answered on both sides, but by another route.
    """

    outcomes: Mapping[Outcome, Count]
    changed: int
    rerouted: int
    rules: Mapping[str, Count]
    limits: Mapping[str, Count]


@dataclass(frozen=True, slots=True)
class DryRunReport:
    """`results`: one a prompt, in the order in which they were given."""

    results: tuple[Comparison, ...]
    summary: Summary


def over_limits(prompts: Sequence[Prompt], windows: Sequence[Window], now: datetime) -> list[str | None]:
    """The limit that each prompt would run into, by the limiter's own rule, were these the tenant's only requests.

    The windows start empty: what was sent before the first of the prompts, and others than these, is not known here.
    """
    times = [(prompt.at or now).timestamp() for prompt in prompts]
    counted = SlidingWindows()
    found: list[str | None] = [None] * len(prompts)
    for place in sorted(range(len(prompts)), key=times.__getitem__):
        full = counted.take(windows, times[place]).refused_by
        found[place] = full.name if full else None
    return found


def compare(today: Side, candidate: Side) -> DryRunReport:
    """Both sides are of the same prompts."""
    results = tuple(map(_comparison, _verdicts(today), _verdicts(candidate)))
    return DryRunReport(results, _summary(results))


def _verdicts(side: Side) -> list[Verdict]:
    return [_verdict(*said) for said in zip(side.limited_by, side.refusals, side.decisions, strict=True)]


def _verdict(limit: str | None, refusal: Refusal | None, decision: RouteDecision | None) -> Verdict:
    if limit is not None:
        return Verdict("limited", limited_by=limit)
    if refusal is not None:
        return _refused(refusal)
    assert decision is not None  # noqa: S101  by the contract of `Side`
    verdict = Verdict("answered") if decision.refusal is None else _refused(decision.refusal)
    return replace(verdict, route=decision.route, route_score=decision.score)


def _refused(refusal: Refusal) -> Verdict:
    return Verdict("refused", refused_by=refusal.rule_id, reason=refusal.reason, stage=refusal.stage)


def _comparison(today: Verdict, candidate: Verdict) -> Comparison:
    # The embedder's last digits depend on what else was in the batch: two scores of one route may differ in them.
    changed = replace(today, route_score=None) != replace(candidate, route_score=None)
    return Comparison(today, candidate, changed)


def _summary(results: Sequence[Comparison]) -> Summary:
    outcomes = _counts(results, lambda verdict: verdict.outcome)
    answered = [one for one in results if one.today.outcome == one.candidate.outcome == "answered"]
    return Summary(
        outcomes={outcome: outcomes.get(outcome, Count(0, 0)) for outcome in OUTCOMES},
        changed=sum(one.changed for one in results),
        rerouted=sum(one.today.route != one.candidate.route for one in answered),
        rules=_counts(results, lambda verdict: verdict.refused_by),
        limits=_counts(results, lambda verdict: verdict.limited_by),
    )


def _counts(results: Sequence[Comparison], name: Callable[[Verdict], str | None]) -> dict[str, Count]:
    """How often each name occurs on either side, in the order of the names."""
    today = Counter(found for one in results if (found := name(one.today)))
    candidate = Counter(found for one in results if (found := name(one.candidate)))
    return {found: Count(today[found], candidate[found]) for found in sorted(today | candidate)}
