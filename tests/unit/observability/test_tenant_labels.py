"""Which tenants have a dimension value of their own: the busiest, and not others with every turn of the wind."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from observability.names import OTHER
from observability.tenant_labels import AT_LEAST, REVIEW_S, TenantLabels


class World:
    def __init__(self, top: int) -> None:
        self.now = 0.0
        self.forgotten: list[str] = []
        self.labels = TenantLabels(top, forget=self.forgotten.append, clock=lambda: self.now)

    def busy(self, tenant: str, requests: int) -> str:
        return [self.labels.of(tenant) for _ in range(requests)][-1]

    def review(self, tenant: str) -> str:
        self.now += REVIEW_S
        return self.labels.of(tenant)


def test_the_first_have_a_value_at_once_and_the_rest_share_one() -> None:
    world = World(2)
    assert [world.labels.of(tenant) for tenant in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]


def test_who_has_clearly_more_traffic_takes_the_place_of_the_weakest_whose_series_end() -> None:
    world = World(2)
    world.busy("a", 500)
    world.busy("b", 20)
    assert world.busy("c", 200) == OTHER
    assert world.review("c") == "c"
    assert world.forgotten == ["b"]
    assert (world.labels.of("a"), world.labels.of("b")) == ("a", OTHER)


def test_of_two_as_busy_as_each_other_the_one_that_is_shown_stays() -> None:
    world = World(1)
    for _ in range(50):
        world.busy("a", 100)
        world.busy("b", 150)
        assert world.review("b") == OTHER
    assert world.forgotten == []


def test_no_tenant_is_never_one_and_none_is_shown_where_none_is_to_be() -> None:
    world = World(0)
    assert world.labels.of("") == ""
    assert world.busy("a", int(AT_LEAST) * 10) == OTHER
    assert world.review("a") == OTHER


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=600), st.integers(1, 5))
def test_never_more_values_than_were_asked_for_at_once_and_memory_is_bounded(
    asked: list[tuple[int, bool]], top: int
) -> None:
    world = World(top)
    shown: set[str] = set()
    for number, later in asked:
        if later:
            world.now += REVIEW_S
        value = world.labels.of(f"t{number}")
        shown = (shown | {value}) - set(world.forgotten) - {OTHER}
        world.forgotten.clear()
        assert len(shown) <= top
        assert len(world.labels._others) <= 8 * top + 65


def test_a_crowd_of_strangers_does_not_push_out_who_is_busy() -> None:
    world = World(2)
    world.busy("a", 100)
    world.busy("b", 100)
    for number in range(20_000):
        world.labels.of(f"stranger-{number}")
    assert world.review("a") == "a"
    assert world.labels.of("b") == "b"


def test_a_tenant_that_is_called_as_the_others_are_has_no_value_of_its_own() -> None:
    world = World(9)
    assert [world.labels.of(tenant) for tenant in ("other", "none", "a")] == [OTHER, OTHER, "a"]
