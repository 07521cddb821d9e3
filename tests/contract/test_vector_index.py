"""The index: FAISS and a plain matrix product find the same rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.adapters.brute_force import BruteForceIndex
from rag.adapters.faiss_index import FaissIndex
from rag.domain.vectors import Matrix, Vector, to_half
from rag.ports import IndexFactory

DIMENSION = 384


def unit_rows(count: int, seed: int = 1, dimension: int = DIMENSION) -> Matrix:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    unit: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def query(seed: int = 2, dimension: int = DIMENSION) -> Vector:
    vector: Vector = unit_rows(1, seed, dimension)[0]
    return vector


@pytest.fixture(params=[FaissIndex, BruteForceIndex])
def build(request: pytest.FixtureRequest) -> IndexFactory:
    factory: IndexFactory = request.param
    return factory


def test_an_empty_index_answers_with_nothing(build: IndexFactory) -> None:
    index = build(np.empty((0, DIMENSION), dtype=np.float16))
    assert len(index) == 0
    assert index.search(query(), 5) == []


@pytest.mark.parametrize("k", [1, 7, 200, 1_000])
def test_it_finds_the_min_k_n_nearest_rows_best_first_and_their_cosines(build: IndexFactory, k: int) -> None:
    rows, asked = unit_rows(200), query()
    hits = build(to_half(rows)).search(asked, k)
    exact = to_half(rows).astype(np.float64) @ asked.astype(np.float64)
    assert [hit.row for hit in hits] == np.argsort(-exact, kind="stable")[: min(k, 200)].tolist()
    assert [hit.score for hit in hits] == pytest.approx(sorted(exact, reverse=True)[:k], abs=1e-5)


def test_a_row_is_its_own_nearest_with_a_cosine_of_one(build: IndexFactory) -> None:
    rows = unit_rows(50)
    index = build(to_half(rows))
    for row in (0, 25, 49):
        best = index.search(rows[row], 1)[0]
        assert best.row == row
        assert best.score == pytest.approx(1.0, abs=1e-3)


def test_rows_pointing_away_are_found_as_well(build: IndexFactory) -> None:
    rows = unit_rows(1)
    hits = build(to_half(np.concatenate([rows, -rows]))).search(rows[0], 10)
    assert [hit.row for hit in hits] == [0, 1]
    assert hits[1].score == pytest.approx(-1.0, abs=1e-3)


def test_several_threads_may_search_at_once(build: IndexFactory) -> None:
    index, asked = build(to_half(unit_rows(2_000))), query()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: index.search(asked, 10), range(100)))
    assert all(answer == answers[0] for answer in answers)


@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_both_kinds_agree_on_any_corpus(count: int, k: int, seed: int) -> None:
    rows, asked = to_half(unit_rows(count, seed, 16)), query(seed + 1, 16)
    found = FaissIndex(rows).search(asked, k)
    expected = BruteForceIndex(rows).search(asked, k)
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    assert len({hit.row for hit in found}) == len(found) == min(k, count)
