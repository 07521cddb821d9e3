"""Fusion, filters, diversity, reranking, and arrays in a file."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from contracts.retrieval import SearchFilter, SearchRequest
from rag.adapters.array_file import MalformedFileError, pack, unpack
from rag.adapters.rerankers import CrossEncoderReranker, NullReranker
from rag.adapters.vector_rows import FileRows, MemoryRows
from rag.domain.diversity import diverse
from rag.domain.filters import Filter
from rag.domain.fusion import fused
from rag.domain.query import ChunkRows, IndexQuery, Scored, Weights
from rag.domain.reranking import reranked
from rag.domain.vectors import to_half
from support.chunks import a_record, rows_of, unit_rows


def test_a_row_gets_the_reciprocals_of_its_places() -> None:
    assert dict(fused([(1.0, [7, 8]), (0.5, [8, 9])])) == {7: 1 / 61, 8: 1 / 62 + 0.5 / 61, 9: 0.5 / 62}
    assert fused([]) == []


def test_equal_sums_are_told_apart_by_the_last_ranking_then_by_the_row() -> None:
    assert [row for row, _ in fused([(1.0, [1, 2]), (1.0, [2, 1])])] == [2, 1]
    assert [row for row, _ in fused([(1.0, [5]), (0.0, []), (1.0, [4])])] == [4, 5]


def test_a_request_of_no_condition_is_no_filter() -> None:
    assert Filter.of(None) is None
    assert Filter.of(SearchFilter()) is None
    assert SearchRequest(query="x").mode == "hybrid"


def test_a_filter_reads_as_it_is_written_in_a_request() -> None:
    asked = SearchFilter.model_validate(
        {
            "source": "wiki",
            "tags": ["a"],
            "document_ids": ["d"],
            "after": "2024-01-01",
            "before": "2024-06-01T02:00:00+02:00",
        }
    )
    assert Filter.of(asked) == Filter(
        frozenset(["wiki"]), frozenset(["a"]), frozenset(["d"]),
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC),
    )  # fmt: skip
    assert Filter.of(SearchFilter(source=("a", "b"))) == Filter(frozenset(["a", "b"]))


@pytest.mark.parametrize(
    "asked", [{"author": "x"}, {"tags": []}, {"tags": ["x"] * 1_001}, {"after": "soon"}, {"source": "\x00"}]
)
def test_a_filter_that_asks_for_what_there_is_not_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SearchFilter.model_validate(asked)


def test_every_condition_must_hold_and_what_lacks_the_value_does_not_answer() -> None:
    metadata = {"source": "wiki", "tags": ["a", "b"], "date": "2024-03-01T12:00:00"}
    assert Filter(frozenset(["wiki"]), frozenset(["b", "z"])).allows("d", metadata)
    assert not Filter(frozenset(["wiki"]), frozenset(["z"])).allows("d", metadata)
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert Filter(after=noon).allows("d", metadata)
    assert not Filter(before=noon).allows("d", metadata)
    assert not Filter(before=noon).allows("d", {})
    assert not Filter(frozenset(["wiki"])).allows("d", {"source": 7})
    assert not Filter(tags=frozenset(["a"])).allows("d", {"tags": {"a": 1}})


def test_diversity_trades_what_is_best_for_what_is_new() -> None:
    vectors = to_half(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    pool = [(4, 0.9), (5, 0.8), (6, 0.1)]
    assert [row for row, _ in diverse(pool, vectors, 2, 0.0)] == [4, 5]
    assert [row for row, _ in diverse(pool, vectors, 2, 0.8)] == [4, 6]
    assert diverse([], vectors[:0], 3, 0.5) == []


def test_what_cannot_be_asked_is_refused() -> None:
    for build in (
        lambda: IndexQuery(None, "x", 0),
        lambda: IndexQuery(None, "x", 1, mode="vector"),
        lambda: IndexQuery(None, "x", 1, diversity=1.5),
        lambda: Weights(0.0, 0.0),
        lambda: Weights(-1.0),
        lambda: Weights(float("nan")),
        lambda: ChunkRows([a_record("c")], to_half(unit_rows(2))),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - each says it in other words
            build()


# Reranking


def found(*names: str) -> list[Scored]:
    return [Scored(a_record(name), 0.5, 1.0 - place / 10) for place, name in enumerate(names)]


def test_the_reranked_come_first_by_their_new_scores_and_the_others_behind_them() -> None:
    order = reranked(found("a", "b", "c", "d"), [0.1, 0.9, 0.9], 4)
    assert [(one.record.chunk_id, one.fused) for one in order] == [("b", 0.9), ("c", 0.9), ("a", 0.1), ("d", 0.7)]
    assert [one.record.chunk_id for one in reranked(found("a", "b"), [], 1)] == ["a"]


def test_the_null_reranker_is_asked_about_nothing() -> None:
    assert NullReranker().depth == 0


class ImitationCrossEncoder:
    """Scores a pair by the words it shares. The real one needs weights, which no package here carries."""

    made: tuple[str, dict[str, object]]

    def __init__(self, source: str, **options: object) -> None:
        type(self).made = (source, options)

    def predict(self, pairs: list[tuple[str, str]], **_: object) -> np.ndarray:
        return np.array([len(set(query.split()) & set(text.split())) for query, text in pairs], np.float32)


def test_a_cross_encoder_is_made_of_a_folder_without_pickle_and_scores_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(CrossEncoder=ImitationCrossEncoder))
    reranker = CrossEncoderReranker(str(tmp_path), depth=7)
    assert reranker.depth == 7
    assert reranker.scores("a b", ["b a", "a", "x"]) == [2.0, 1.0, 0.0]
    assert reranker.scores("a", []) == []
    source, options = ImitationCrossEncoder.made
    assert (source, options["local_files_only"]) == (str(tmp_path), True)
    assert options["model_kwargs"] == {"use_safetensors": True}


# Arrays and rows in files


def test_arrays_come_back_as_views_into_the_bytes() -> None:
    arrays = {"a": np.arange(5, dtype=np.uint16), "none": np.empty(0, np.int64), "b": np.arange(9, dtype=np.uint64)}
    content = pack("kind", arrays).to_bytes()
    back = unpack(memoryview(content), "kind")
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert not back[name].flags.writeable
    with pytest.raises(MalformedFileError, match="'kind', not 'other'"):
        unpack(memoryview(content), "other")


@pytest.mark.parametrize(
    "harm",
    [
        lambda c: b"",
        lambda c: c[:20],
        lambda c: c[:-64],
        lambda c: b"X" + c[1:],
        lambda c: c.replace(b'"u8", 0', b'"f8", 0'),
        lambda c: c.replace(b'"u8", 0', b'"u8",-9'),
        lambda c: c[:8] + (2**63).to_bytes(8, "little") + c[16:],
    ],
)
def test_a_harmed_file_of_arrays_is_refused(harm: object) -> None:
    content = pack("kind", {"a": np.arange(40, dtype=np.uint64)}).to_bytes()
    with pytest.raises(MalformedFileError):
        unpack(memoryview(harm(content)), "kind")  # type: ignore[operator]


def test_only_flat_whole_numbers_are_packed() -> None:
    for array in (np.zeros(3), np.zeros((2, 2), np.uint8), np.array([object()])):
        with pytest.raises(ValueError, match="array a"):
            pack("kind", {"a": array})


def test_rows_of_a_file_are_those_in_memory_also_when_the_file_is_gone(tmp_path: Path) -> None:
    vectors = to_half(unit_rows(100))
    path = tmp_path / "vectors.f16"
    path.write_bytes(vectors.tobytes())
    rows = FileRows(path, 16)
    path.unlink()
    for wanted in ([], [0], [99], [3, 4, 7, 40, 41, 99], list(range(100))):
        asked = np.array(wanted, np.int64)
        np.testing.assert_array_equal(rows.gather(asked), MemoryRows(vectors).gather(asked))
    np.testing.assert_array_equal(rows.all(), vectors)
    assert (len(rows), rows.nbytes) == (100, 0)


def test_a_file_of_half_a_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.f16"
    path.write_bytes(bytes(33))
    with pytest.raises(ValueError, match="whole number"):
        FileRows(path, 16)


def test_rows_of_any_size_are_read_back_as_given() -> None:
    assert len(rows_of(["a", "b"])) == 2
