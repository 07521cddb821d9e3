"""Two configs side by side: pure values in, a report out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from contracts.chat import Refusal
from contracts.classification import RouteDecision
from router.domain.dry_run import Count, DryRunReport, Prompt, Side, Verdict, compare, over_limits
from router.domain.limits import Window
from router.domain.policy import Policy
from support.policies import a_policy, contains

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE, HOUR = Window("requests_per_minute", 2, 60), Window("requests_per_hour", 3, 3_600)


def routed(route: str = "GENERAL", score: float = 0.5, refused_by: str | None = None) -> RouteDecision:
    refusal = refused_by and Refusal(reason="route_not_allowed", rule_id=refused_by, stage="route", message="no")
    return RouteDecision(route=route, score=score, refusal=refusal or None)


def side(policy: Policy, prompts: Sequence[Prompt], decision: RouteDecision) -> Side:
    limited = over_limits(prompts, policy.windows, NOW)
    refusals = [policy.rules.judge(prompt.query) for prompt in prompts]
    return Side(limited, refusals, [decision] * len(prompts))


def one(said_today: RouteDecision, said_then: RouteDecision) -> DryRunReport:
    return compare(Side([None], [None], [said_today]), Side([None], [None], [said_then]))


# ---- limits


def test_requests_without_a_time_are_sent_at_once_in_their_order() -> None:
    prompts = [Prompt(str(number)) for number in range(4)]
    assert over_limits(prompts, [MINUTE], NOW) == [None, None, MINUTE.name, MINUTE.name]


def test_requests_count_in_the_order_of_their_times_and_answers_keep_the_order_given() -> None:
    prompts = [Prompt("now"), Prompt("third", NOW - SECOND), Prompt("first", NOW - 3 * SECOND),
               Prompt("second", NOW - 2 * SECOND)]  # fmt: skip
    assert over_limits(prompts, [MINUTE], NOW) == [MINUTE.name, MINUTE.name, None, None]


def test_a_limited_request_counts_in_no_window() -> None:
    times = [NOW, NOW, NOW, NOW, NOW + 62 * SECOND, NOW + 63 * SECOND]
    prompts = [Prompt("q", at) for at in times]
    minute, hour = MINUTE.name, HOUR.name
    assert over_limits(prompts, [MINUTE, HOUR], NOW) == [None, None, minute, minute, None, hour]


def test_without_windows_nothing_is_limited() -> None:
    assert over_limits([Prompt("q")] * 200, [], NOW) == [None] * 200


# ---- verdicts


def test_the_limit_comes_before_the_rule_and_the_rule_before_the_route() -> None:
    refusal = Refusal(reason="r", rule_id="rule", stage="input", message="m")
    limited = Side(["minute"], [refusal], [routed(refused_by="allowed_routes")])
    refused = replace(limited, limited_by=[None])
    report = compare(limited, refused)
    assert report.results[0].today == Verdict("limited", limited_by="minute")
    assert report.results[0].candidate == Verdict("refused", refused_by="rule", reason="r", stage="input")
    assert report.results[0].changed


def test_a_refused_route_is_named_with_its_score_and_its_rule() -> None:
    (result,) = one(routed("PRICE_COMPARE"), routed("PRICE_COMPARE", refused_by="allowed_routes")).results
    assert result.today == Verdict("answered", route="PRICE_COMPARE", route_score=0.5)
    assert result.candidate == Verdict(
        "refused", "allowed_routes", "route_not_allowed", "route", route="PRICE_COMPARE", route_score=0.5
    )


def test_another_route_is_a_change_and_another_score_of_the_same_is_none() -> None:
    rerouted, same = one(routed("A"), routed("B")), one(routed("A", 0.5), routed("A", 0.5000001))
    assert (rerouted.results[0].changed, rerouted.summary.changed, rerouted.summary.rerouted) == (True, 1, 1)
    assert (same.results[0].changed, same.summary.changed, same.summary.rerouted) == (False, 0, 0)


def test_the_summary_counts_outcomes_rules_and_limits_on_both_sides() -> None:
    prompts = [Prompt("a hack"), Prompt("a password"), Prompt("fine"), Prompt("late")]
    today = a_policy(refusal_rules=[contains("hack", id="no-hack")], rate_limit_per_minute=3)
    then = a_policy(refusal_rules=[contains("fine")], sensitive_prompt_patterns=["password"])
    summary = compare(side(today, prompts, routed()), side(then, prompts, routed())).summary
    assert summary.outcomes == {"answered": Count(2, 2), "refused": Count(1, 2), "limited": Count(1, 0)}
    assert summary.rules == {
        "no-hack": Count(1, 0),
        "refusal_rules[0]": Count(0, 1),
        "sensitive_prompt_patterns[0]": Count(0, 1),
    }
    assert summary.limits == {"requests_per_minute": Count(1, 0)}
    assert (summary.changed, summary.rerouted) == (4, 0)


def test_of_no_prompts_the_report_is_empty() -> None:
    report = compare(Side([], [], []), Side([], [], []))
    assert (report.results, report.summary.changed, report.summary.rules) == ((), 0, {})
    assert report.summary.outcomes["answered"] == Count(0, 0)


# ---- properties

offsets = st.one_of(st.none(), st.integers(0, 4_000))
prompt_lists = st.lists(
    st.builds(
        lambda query, offset: Prompt(query, None if offset is None else NOW - offset * SECOND),
        st.text(alphabet="abc ", min_size=1, max_size=6),
        offsets,
    ),
    max_size=40,
)
limits = st.tuples(st.integers(1, 12), st.integers(1, 20))


@given(prompt_lists, limits, st.lists(st.sampled_from(["a", "bb", "c a"]), max_size=3))
def test_the_same_config_on_both_sides_changes_nothing(
    prompts: list[Prompt], limit: tuple[int, int], patterns: list[str]
) -> None:
    config = {
        "rate_limit_per_minute": limit[0],
        "rate_limit_per_hour": limit[1],
        "refusal_rules": [contains(pattern) for pattern in patterns],
    }
    report = compare(*(side(a_policy(**config), prompts, routed()) for _ in range(2)))
    assert report.summary.changed == report.summary.rerouted == 0
    assert not any(result.changed for result in report.results)
    assert sum(count.today for count in report.summary.outcomes.values()) == len(prompts)


@given(prompt_lists, limits, limits)
def test_raising_every_limit_never_limits_more(
    prompts: list[Prompt], limit: tuple[int, int], raised_by: tuple[int, int]
) -> None:
    lower = [replace(MINUTE, limit=limit[0]), replace(HOUR, limit=limit[1])]
    higher = [replace(window, limit=window.limit + more) for window, more in zip(lower, raised_by, strict=True)]
    before, after = (over_limits(prompts, windows, NOW) for windows in (lower, higher))
    assert sum(map(bool, after)) <= sum(map(bool, before))
