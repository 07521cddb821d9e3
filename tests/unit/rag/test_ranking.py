"""The second line of isolation, the order of results, and vectors that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.tenant import TenantId
from rag.domain.corpus import ChunkRecord
from rag.domain.query import Scored
from rag.domain.ranking import separated
from rag.domain.vectors import UnusableVectorError, pack_rows, to_half, unit_vector, unpack_rows

T1, T2 = TenantId("t1"), TenantId("t2")


def record(tenant_id: TenantId, name: str) -> ChunkRecord:
    return ChunkRecord(tenant_id, name, "d", "Title", name, 0, len(name))


def test_another_tenants_chunk_never_passes_and_is_named() -> None:
    scored = [Scored(record(T1, "own"), 0.9, 0.9), Scored(record(T2, "foreign"), 0.8, 0.8)]
    found = separated(T1, [*scored, Scored(record(T1, "own too"), None, 0.1)])
    assert [one.record.chunk_id for one in found.own] == ["own", "own too"]
    assert found.foreign == (scored[1].record,)


@given(st.lists(st.sampled_from([T1, T2]), max_size=50))
def test_what_passes_is_the_tenants_own_in_its_order_and_nothing_of_it_is_lost(owners: list[TenantId]) -> None:
    scored = [Scored(record(owner, str(row)), None, -row) for row, owner in enumerate(owners)]
    found = separated(T1, scored)
    assert list(found.own) == [one for one in scored if one.record.tenant_id == T1]
    assert len(found.own) + len(found.foreign) == len(owners)


def test_a_vector_is_scaled_to_length_one_even_if_huge() -> None:
    assert unit_vector([3e300, 4e300], 2) == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0], []])
def test_what_is_no_direction_is_no_vector(values: list[float]) -> None:
    with pytest.raises(UnusableVectorError):
        unit_vector(values, 2)


def test_half_precision_rows_come_back_and_a_wrong_dimension_is_noticed() -> None:
    rows = to_half(np.eye(3, 4, dtype=np.float32))
    packed = pack_rows(rows)
    assert [len(row) for row in packed] == [8, 8, 8]
    assert np.array_equal(unpack_rows(packed, 4), rows)
    assert unpack_rows([], 4).shape == (0, 4)
    with pytest.raises(ValueError, match="does not have 5 dimensions"):
        unpack_rows(packed, 5)
