"""A question's vector is remembered for the tenant that asked it, for no other, and not for ever."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.tenant import TenantId
from rag.domain.recent_vectors import RecentVectors

T1, T2, T3 = TenantId("t1"), TenantId("t2"), TenantId("t3")
VECTOR = np.ones(2, dtype=np.float32)


def test_what_one_tenant_asked_is_unknown_to_another() -> None:
    recent = RecentVectors()
    recent.keep(T1, "milk", VECTOR)
    assert recent.get(T1, "milk") is VECTOR
    assert recent.get(T2, "milk") is None


def test_what_was_used_longest_ago_goes_first_and_a_busy_tenant_drops_only_its_own() -> None:
    recent = RecentVectors(per_tenant=2)
    recent.keep(T2, "quiet", VECTOR)
    for text in ("a", "b"):
        recent.keep(T1, text, VECTOR)
    recent.get(T1, "a")
    recent.keep(T1, "c", VECTOR)
    assert [recent.get(T1, text) is not None for text in ("a", "b", "c")] == [True, False, True]
    assert recent.get(T2, "quiet") is VECTOR


def test_beyond_the_bound_of_all_the_tenant_that_asked_longest_ago_loses_its_oldest() -> None:
    recent = RecentVectors(per_tenant=2, in_total=3)
    for tenant_id, text in ((T1, "a"), (T1, "b"), (T2, "a"), (T3, "a")):
        recent.keep(tenant_id, text, VECTOR)
    assert recent.get(T1, "a") is None
    assert [recent.get(*of) is VECTOR for of in ((T1, "b"), (T2, "a"), (T3, "a"))] == [True] * 3


def test_a_tenant_that_is_forgotten_leaves_nothing() -> None:
    recent = RecentVectors()
    recent.keep(T1, "milk", VECTOR)
    recent.forget(T1)
    recent.forget(T2)
    assert recent.get(T1, "milk") is None
    assert len(recent) == 0


@given(st.lists(st.tuples(st.sampled_from((T1, T2, T3)), st.sampled_from("abcdef"), st.booleans()), max_size=60))
def test_it_never_holds_more_than_its_bounds(steps: list[tuple[TenantId, str, bool]]) -> None:
    recent = RecentVectors(per_tenant=3, in_total=5)
    for tenant_id, text, is_forgotten in steps:
        if is_forgotten:
            recent.forget(tenant_id)
        else:
            recent.keep(tenant_id, text, VECTOR)
            assert recent.get(tenant_id, text) is VECTOR
        held = [(of, text) for of in (T1, T2, T3) for text in "abcdef" if recent.get(of, text) is not None]
        assert len(held) == len(recent) <= 5
        assert all(sum(of == tenant for of, _ in held) <= 3 for tenant in (T1, T2, T3))
