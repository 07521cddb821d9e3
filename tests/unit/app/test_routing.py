"""The choice of a route, and the tenant's "no" to it: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.routing import choose_route, contrasted, examples_of, guessed_route, refuse_route, route_score
from contracts.routes import BUILT_IN_ROUTES, GENERAL
from support.turns import ALL_ROUTES, a_route

PRICE = next(route for route in BUILT_IN_ROUTES if route.name == "PRICE_COMPARE")


def test_the_best_route_over_the_threshold_is_chosen() -> None:
    choice = choose_route(BUILT_IN_ROUTES, {"PRICE_COMPARE": 0.5, "DIET_NUTRITION": 0.6}, threshold=0.28)
    assert (choice.route.name, choice.score) == ("DIET_NUTRITION", 0.6)


def test_below_the_threshold_the_query_is_general_and_the_score_says_how_near_it_was() -> None:
    choice = choose_route(BUILT_IN_ROUTES, {"PRICE_COMPARE": 0.27}, threshold=0.28)
    assert (choice.route.name, choice.score) == (GENERAL, 0.27)


def test_a_score_on_the_threshold_is_enough() -> None:
    assert choose_route(BUILT_IN_ROUTES, {"PRICE_COMPARE": 0.28}, threshold=0.28).route.name == "PRICE_COMPARE"


def test_without_any_score_the_query_is_general_even_where_the_tenant_has_no_such_route() -> None:
    assert choose_route([PRICE], {}, threshold=0.28).route.name == GENERAL


@pytest.mark.parametrize(
    ("scores", "chosen", "runner_up"),
    [
        ({"PRICE_COMPARE": 0.5, "DIET_NUTRITION": 0.6}, "DIET_NUTRITION", ("PRICE_COMPARE", 0.5)),
        ({"PRICE_COMPARE": 0.1, "DIET_NUTRITION": 0.2}, GENERAL, ("DIET_NUTRITION", 0.2)),
        ({"PRICE_COMPARE": 0.5}, "PRICE_COMPARE", (None, None)),
        ({}, GENERAL, (None, None)),
    ],
)
def test_the_runner_up_is_the_best_of_the_routes_that_were_not_chosen(
    scores: dict[str, float], chosen: str, runner_up: tuple[str | None, float | None]
) -> None:
    choice = choose_route(BUILT_IN_ROUTES, scores, threshold=0.28)
    assert (choice.route.name, (choice.runner_up, choice.runner_up_score)) == (chosen, runner_up)


def test_a_tenants_own_general_route_replaces_the_built_in_one() -> None:
    own = a_route(GENERAL, system_prompt="ours")
    assert choose_route([own], {}, threshold=0.28).route is own


@given(st.permutations([("A", 0.4), ("B", 0.4), ("C", 0.1)]))
def test_of_equals_the_first_in_the_tenants_order_wins(scores: list[tuple[str, float]]) -> None:
    routes = [a_route("A", "x"), a_route("B", "x"), a_route("C", "x")]
    assert choose_route(routes, dict(scores), threshold=0.2).route.name == "A"


def test_a_score_is_the_mean_of_the_nearest_two() -> None:
    assert route_score([0.1, 0.6, 0.4]) == pytest.approx(0.5)
    assert route_score([0.3]) == pytest.approx(0.3)


def test_a_route_without_examples_is_found_by_its_description_and_general_is_never_compared() -> None:
    assert examples_of(a_route("TRAVEL", description="Trips and hotels")) == ("Trips and hotels",)
    assert examples_of(a_route("TRAVEL")) == ()
    assert examples_of(a_route(GENERAL, "an example")) == ()


def test_an_allowed_route_with_its_tools_is_served() -> None:
    assert refuse_route(PRICE, allowed_routes=ALL_ROUTES, blocked_tools=["mcp_finance"]) is None


def test_a_route_that_is_not_allowed_is_refused_without_naming_any_route() -> None:
    refusal = refuse_route(PRICE, allowed_routes=["DIET_NUTRITION"], blocked_tools=[])
    assert refusal is not None
    assert (refusal.reason, refusal.rule_id, refusal.stage) == ("route_not_allowed", "allowed_routes", "route")
    assert not any(name.lower().split("_")[0] in refusal.message.lower() for name in ALL_ROUTES)


def test_no_allowed_route_means_none() -> None:
    """Default deny: an empty list in the context is not a wildcard."""
    assert refuse_route(PRICE, allowed_routes=[], blocked_tools=[]) is not None


def test_a_route_that_needs_a_blocked_tool_is_refused_without_naming_the_tool() -> None:
    refusal = refuse_route(PRICE, allowed_routes=ALL_ROUTES, blocked_tools=["mcp_catalog"])
    assert refusal is not None
    assert (refusal.reason, refusal.rule_id, refusal.stage) == ("blocked_tool", "blocked_tools", "route")
    assert "catalog" not in refusal.message


def test_what_is_nearer_to_a_question_that_only_looks_like_the_route_is_not_the_routes() -> None:
    assert contrasted(0.5, [0.1, 0.4]) == 0.5
    assert contrasted(0.5, []) == 0.5
    assert contrasted(0.5, [0.1, 0.7]) == pytest.approx(-0.2)


def test_without_likenesses_the_guess_is_general_or_the_only_allowed_route_or_none() -> None:
    for allowed, guess in ((ALL_ROUTES, GENERAL), (("PRICE_COMPARE",), "PRICE_COMPARE"), (ALL_ROUTES[1:], None)):
        choice = guessed_route(BUILT_IN_ROUTES, allowed_routes=allowed)
        assert (choice.route.name if choice else None) == guess
