"""The choice of replica, by simulation."""

from __future__ import annotations

import random
from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from app.domain.choice import MOST_OVER_MEAN, Load, bound, choose, preference

URLS = [f"http://engine-{number}" for number in range(5)]
KEYS = [f"tenant\0session-{number}" for number in range(5_000)]


def idle(urls: list[str]) -> list[Load]:
    return [Load(url) for url in urls]


def test_the_same_conversation_goes_to_the_same_replica_in_whatever_order_they_are_told() -> None:
    for key in KEYS[:100]:
        assert choose(key, idle(URLS)) == choose(key, idle(URLS[::-1])) == preference(key, URLS)[0]


def test_idle_replicas_have_about_as_many_conversations_each() -> None:
    owners = Counter(choose(key, idle(URLS)) for key in KEYS)
    assert max(owners.values()) <= 1.1 * len(KEYS) / len(URLS)


def test_only_the_conversations_of_a_replica_that_goes_move_and_they_spread_over_all_others() -> None:
    gone = URLS[2]
    before = {key: choose(key, idle(URLS)) for key in KEYS}
    after = {key: choose(key, idle([url for url in URLS if url != gone])) for key in KEYS}
    moved = [key for key in KEYS if before[key] != after[key]]
    assert {before[key] for key in moved} == {gone}
    heirs = Counter(after[key] for key in moved)
    assert len(heirs) == 4
    assert max(heirs.values()) <= 1.25 * len(moved) / 4


def test_a_replica_that_comes_takes_its_share_and_nothing_else_moves() -> None:
    new = "http://engine-new"
    before = {key: choose(key, idle(URLS)) for key in KEYS}
    after = {key: choose(key, idle([*URLS, new])) for key in KEYS}
    moved = [key for key in KEYS if before[key] != after[key]]
    assert {after[key] for key in moved} == {new}
    assert 0.8 / 6 <= len(moved) / len(KEYS) <= 1.2 / 6


def simulate(urls: list[str], *, at_once: int, slow: str | None = None, sessions: int = 60) -> dict[str, list[int]]:
    """A closed loop: `at_once` requests are under way at any time; some conversations ask far more often than others.
    The oldest request ends each time, those of a slow replica only every eighth. The in-flight counts after each
    choice, by replica."""
    chance = random.Random(7)
    weights = [1 / (1 + number) for number in range(sessions)]
    busy = dict.fromkeys(urls, 0)
    under_way: deque[str] = deque()
    seen: dict[str, list[int]] = {url: [] for url in urls}
    for step in range(5_000):
        key = f"t\0{chance.choices(range(sessions), weights)[0]}"
        url = choose(key, [Load(url, busy[url]) for url in urls])
        assert url is not None
        busy[url] += 1
        under_way.append(url)
        for one in urls:
            seen[one].append(busy[one])
        while len(under_way) >= at_once:
            if under_way[0] == slow and step % 8:
                under_way.rotate(-1)
                if all(one == slow for one in under_way):
                    break
                continue
            busy[under_way.popleft()] -= 1
    return seen


def test_no_replica_has_more_than_the_bound_however_unequal_the_conversations() -> None:
    for at_once in (8, 20, 64):
        seen = simulate(URLS, at_once=at_once)
        for loads in zip(*seen.values(), strict=True):
            # Rounded up, for requests are whole.
            assert max(loads) <= -(-MOST_OVER_MEAN * sum(loads) // len(loads))


def test_a_slow_replica_is_given_less_the_slower_it_is() -> None:
    slow = URLS[0]
    even, uneven = simulate(URLS, at_once=20), simulate(URLS, at_once=20, slow=slow)

    def given(seen: dict[str, list[int]]) -> int:
        return sum(later > earlier for earlier, later in zip(seen[slow], seen[slow][1:], strict=False))

    assert given(uneven) < given(even) / 2


def test_a_replica_with_a_queue_or_a_full_cache_is_passed_over() -> None:
    for busy in (
        Load(URLS[0], requests=8, waiting=6),
        Load(URLS[0], requests=8, kv_usage=0.99),
        Load(URLS[0], requests=8, kv_usage=0.95),
        Load(URLS[0], full=True),
    ):
        others = [Load(url, requests=8) for url in URLS[1:]]
        assert all(choose(key, [busy, *others]) != URLS[0] for key in KEYS[:500])


def test_where_all_are_full_the_least_loaded_is_asked_and_no_other() -> None:
    loads = [Load(url, requests=9 - number, full=True) for number, url in enumerate(URLS)]
    assert {choose(key, loads) for key in KEYS[:100]} == {URLS[-1]}


def test_of_nothing_nothing_is_chosen() -> None:
    assert choose("key", []) is None


@given(
    st.text(max_size=20),
    st.lists(
        st.builds(
            Load,
            st.sampled_from(URLS),
            st.integers(0, 500),
            st.integers(0, 500),
            st.floats(0, 1),
            st.booleans(),
        ),
        min_size=1,
        unique_by=lambda load: load.url,
    ),
)
def test_whatever_the_loads_the_chosen_one_is_there_and_within_the_bound_or_the_least(
    key: str, loads: list[Load]
) -> None:
    chosen = choose(key, loads)
    (load,) = [load for load in loads if load.url == chosen]
    candidates = [load for load in loads if not load.full and load.kv_usage < 0.98]
    if load in candidates:
        assert load.weight(1) <= bound(candidates) or load.weight() == min(one.weight() for one in candidates)
    else:
        assert not candidates
