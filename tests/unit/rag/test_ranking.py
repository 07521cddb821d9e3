"""The second line of isolation, the order of results, and vectors that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.tenant import TenantId
from rag.domain.corpus import ChunkRecord
from rag.domain.ranking import Hit, rank
from rag.domain.vectors import UnusableVectorError, pack_rows, to_half, unit_vector, unpack_rows

T1, T2 = TenantId("t1"), TenantId("t2")


def record(tenant_id: TenantId, name: str) -> ChunkRecord:
    return ChunkRecord(tenant_id, name, "d", "Title", name, 0, len(name))


def test_another_tenants_chunk_never_passes_and_is_named() -> None:
    records = [record(T1, "own"), record(T2, "foreign"), record(T1, "own too")]
    ranking = rank(T1, [Hit(1, 0.9), Hit(2, 0.5), Hit(0, 0.7)], records)
    assert [found.record.chunk_id for found in ranking.found] == ["own", "own too"]
    assert ranking.foreign == (records[1],)


def test_equal_scores_keep_the_order_of_the_log_and_no_score_leaves_minus_one_to_one() -> None:
    records = [record(T1, "a"), record(T1, "b"), record(T1, "c")]
    ranking = rank(T1, [Hit(2, 1.0002), Hit(1, -1.0002), Hit(0, 1.0002)], records)
    assert [(found.record.chunk_id, found.score) for found in ranking.found] == [("a", 1.0), ("c", 1.0), ("b", -1.0)]


@given(st.lists(st.tuples(st.sampled_from([T1, T2]), st.floats(-1, 1)), max_size=50))
def test_what_passes_is_the_tenants_own_and_nothing_of_it_is_lost(rows: list[tuple[TenantId, float]]) -> None:
    records = [record(owner, str(row)) for row, (owner, _) in enumerate(rows)]
    ranking = rank(T1, [Hit(row, score) for row, (_, score) in enumerate(rows)], records)
    assert {found.record.tenant_id for found in ranking.found} <= {T1}
    assert len(ranking.found) + len(ranking.foreign) == len(rows)
    assert [found.score for found in ranking.found] == sorted((s for o, s in rows if o == T1), reverse=True)


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
