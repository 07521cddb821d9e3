"""One tenant's index: every kind finds what a plain computation over all chunks finds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.retrieval import Metadata
from rag.adapters import scratch
from rag.adapters.faiss_quantized import Effort
from rag.adapters.hybrid_index import HybridIndex
from rag.adapters.index_builder import HybridIndexBuilder, Sizes
from rag.adapters.plain_index import PlainIndex, PlainIndexBuilder
from rag.domain.corpus import ChunkRecord
from rag.domain.filters import Filter
from rag.domain.query import ChunkRows, IndexQuery, Scored, Weights
from rag.domain.vectors import Vector, to_half
from rag.ports import IndexBuilder, TenantIndex
from support.chunks import a_record, rows_of, unit_rows

DIMENSION = 16
EXACT = Sizes()
FLAT = Sizes(exact=0)
LISTS = Sizes(exact=0, flat=0)
KINDS = {"exact": EXACT, "flat": FLAT, "lists": LISTS}
ALL = Effort(rescored=1_000, probes=1_000, scanned=0)
"""Looks at every row by way of its codes, so that an approximate kind has to find what the exact one finds."""
LITTLE = Effort(rescored=4, probes=1, scanned=0)
"""Looks at as little as can be: what is promised whatever an approximate kind misses has to hold then."""

_builder = HybridIndexBuilder(sizes=EXACT, effort=ALL)
BUILDERS: dict[str, IndexBuilder] = {
    "plain": PlainIndexBuilder(_builder.analyzer),
    **{name: HybridIndexBuilder(sizes, ALL, _builder.analyzer) for name, sizes in KINDS.items()},
    "flat on disk": HybridIndexBuilder(FLAT, ALL, _builder.analyzer, Path(tempfile.gettempdir())),
}


@pytest.fixture(params=BUILDERS)
def builder(request: pytest.FixtureRequest) -> IndexBuilder:
    return BUILDERS[request.param]


@pytest.fixture(params=KINDS)
def hybrid_builder(request: pytest.FixtureRequest) -> IndexBuilder:
    return BUILDERS[request.param]


def built(builder: IndexBuilder, rows: ChunkRows, cut: int) -> TenantIndex:
    """In portions of so many."""
    draft = builder.begin(DIMENSION)
    for start in range(0, len(rows), cut):
        draft.add(ChunkRows(rows.records[start : start + cut], rows.vectors[start : start + cut]))
    return draft.finish()


def vector(seed: int = 2) -> Vector:
    row: Vector = unit_rows(1, seed, DIMENSION)[0]
    return row


def ids(found: list[Scored]) -> list[str]:
    return [one.record.chunk_id for one in found]


def reloaded(builder: IndexBuilder, index: TenantIndex) -> TenantIndex:
    """The files are gone when this returns, as those are that a cache lets go."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, name) for name in index.files()}
        for name, content in index.files().items():
            assert content.size == paths[name].write_bytes(content.to_bytes())
        return builder.load(paths, DIMENSION)


# Any corpus, any changes, any question

WORDS = ["milk", "bread", "costs", "euro", "red", "running", "東京", "café", "the"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
METADATA: st.SearchStrategy[Metadata] = st.fixed_dictionaries(
    {},
    optional={
        "source": st.sampled_from(["wiki", "mail", 7]),
        "tags": st.sampled_from([["a"], ["a", "b"], [], "b", None, [3]]),
        "date": st.sampled_from(["2024-01-01", "2024-06-01T12:00:00+02:00", "2025-01-01T00:00:00Z", "soon", 5]),
    },
)
DATES = st.none() | st.sampled_from([datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, 10, tzinfo=UTC)])
FILTERS = st.none() | st.builds(
    Filter,
    sources=st.none() | st.frozensets(st.sampled_from(["wiki", "mail", "none"]), min_size=1),
    tags=st.none() | st.frozensets(st.sampled_from(["a", "b", "none"]), min_size=1),
    document_ids=st.none() | st.frozensets(st.sampled_from(["d0", "d1", "d2", "none"]), min_size=1),
    after=DATES,
    before=DATES,
)
WEIGHTS = st.sampled_from([Weights(), Weights(2.0, 1.0), Weights(0.0, 1.0), Weights(1.0, 0.0)])


@dataclass(frozen=True)
class Change:
    added: ChunkRows
    removed: frozenset[str]
    then: str


@st.composite
def chunk_rows(draw: st.DrawFn, unique: bool = False) -> ChunkRows:
    named = draw(st.lists(st.integers(0, 30), max_size=12, unique=unique))
    records = [a_record(f"c{n}", draw(TEXTS), f"d{n % 3}", draw(METADATA)) for n in named]
    # A few different vectors only: equal ones come in their order.
    seeds = [draw(st.integers(0, 8)) for _ in named]
    rows = unit_rows(9, 7, DIMENSION)[seeds] if seeds else np.empty((0, DIMENSION), np.float32)
    return ChunkRows(records, to_half(rows))


CHANGES = st.lists(
    st.builds(
        Change,
        chunk_rows(),
        st.frozensets(st.integers(0, 35).map(lambda n: f"c{n}"), max_size=6),
        st.sampled_from(["", "compact", "reload"]),
    ),
    max_size=4,
)
QUERIES = st.builds(
    IndexQuery,
    vector=st.integers(0, 3).map(vector) | st.just(unit_rows(9, 7, DIMENSION)[0]),
    text=TEXTS | st.sampled_from(["", "!!!", "unheard of", "runs", "京"]),
    k=st.integers(1, 40),
    filter=FILTERS,
    mode=st.sampled_from(["hybrid", "vector", "lexical"]),
    weights=WEIGHTS,
)


@pytest.mark.parametrize("kind", [*KINDS, "flat on disk"])
@settings(deadline=None)  # a search is quick, but several indexes are made and written out on a busy machine
@given(
    first=chunk_rows(unique=True),
    cut=st.integers(1, 40),
    changes=CHANGES,
    queries=st.lists(QUERIES, min_size=1, max_size=3),
)
def test_after_any_changes_it_finds_what_the_plain_computation_finds(
    kind: str, first: ChunkRows, cut: int, changes: list[Change], queries: list[IndexQuery]
) -> None:
    builder = BUILDERS[kind]
    index, plain = built(builder, first, cut), BUILDERS["plain"].build(first)
    for change in changes:
        index, plain = (
            index.with_changes(change.added, change.removed),
            plain.with_changes(change.added, change.removed),
        )
        if change.then:
            index = index.compacted()
        if change.then == "reload":
            index = reloaded(builder, index)
    assert len(index) == len(plain)
    for query in queries:
        expected = plain.search(query)
        found = index.search(query)
        assert ids(found) == ids(expected)
        assert [one.record for one in found] == [one.record for one in expected]
        assert [one.fused for one in found] == pytest.approx([one.fused for one in expected], abs=1e-6)
        assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)


# One by one


def test_an_empty_index_answers_with_nothing(builder: IndexBuilder) -> None:
    index = builder.build(rows_of([]))
    assert len(index) == 0
    for mode in ("hybrid", "vector", "lexical"):
        assert index.search(IndexQuery(vector(), "milk", 5, mode=mode)) == []
    assert reloaded(builder, index).search(IndexQuery(vector(), "milk", 5)) == []


def test_an_index_that_was_empty_grows_and_one_whose_chunks_all_go_is_empty(builder: IndexBuilder) -> None:
    index = builder.build(rows_of([])).with_changes(rows_of(["milk", "bread"]), frozenset())
    assert ids(index.search(IndexQuery(vector(), "milk", 5, mode="lexical"))) == ["c0", "c1"]
    index = index.with_changes(rows_of([]), frozenset(["c0", "c1"]))
    assert (len(index), index.search(IndexQuery(vector(), "milk", 5))) == (0, [])
    assert len(index.compacted()) == 0


@pytest.mark.parametrize("mode", ["hybrid", "vector", "lexical"])
@pytest.mark.parametrize("k", [1, 7, 100, 1_000])
def test_the_answer_is_min_k_n_chunks_whatever_the_question(builder: IndexBuilder, mode: str, k: int) -> None:
    index = builder.build(rows_of(["milk"] * 3 + ["bread"] * 27))
    for text in ("milk", "", "?!", "unheard of"):
        found = index.search(IndexQuery(vector(), text, k, mode=mode))  # type: ignore[arg-type]
        assert len(set(ids(found))) == len(found) == min(k, 30)


def test_a_filter_never_costs_a_match_however_far_down_it_ranks(hybrid_builder: IndexBuilder) -> None:
    rows = rows_of(["milk"] * 500)
    far = np.argsort(rows.vectors.astype(np.float32) @ vector())[:3]
    asked = Filter(document_ids=frozenset(f"d{row}" for row in far))
    found = hybrid_builder.build(rows).search(IndexQuery(vector(), "milk", 5, asked))
    assert {one.record.document_id for one in found} == asked.document_ids


def test_equal_chunks_come_in_the_order_in_which_they_were_added(builder: IndexBuilder) -> None:
    same = to_half(np.repeat(unit_rows(1, 3, DIMENSION), 300, axis=0))
    rows = ChunkRows([a_record(f"c{n}", "milk") for n in range(300)], same)
    index = builder.build(rows)
    for mode in ("hybrid", "vector", "lexical"):
        assert ids(index.search(IndexQuery(vector(), "milk", 7, mode=mode))) == [f"c{n}" for n in range(7)]


def test_a_chunk_added_again_under_its_id_takes_the_place_of_the_former(builder: IndexBuilder) -> None:
    index = builder.build(rows_of(["milk", "bread"]))
    for _ in range(2):
        index = index.with_changes(rows_of(["wine"], seed=5), frozenset())
    assert len(index) == 2
    assert {one.record.text for one in index.search(IndexQuery(vector(), "milk", 9))} == {"wine", "bread"}


def test_the_index_that_was_changed_stays_as_it_was(builder: IndexBuilder) -> None:
    index = builder.build(rows_of(["milk", "bread"]))
    query = IndexQuery(vector(), "milk", 9)
    before = index.search(query)
    index.with_changes(rows_of(["wine"], prefix="x"), frozenset(["c0"]))
    assert index.search(query) == before


def test_removed_and_filtered_chunks_stay_out_in_every_mode(builder: IndexBuilder) -> None:
    index = builder.build(rows_of(["milk one", "milk two", "milk three"])).with_changes(rows_of([]), frozenset(["c1"]))
    for mode in ("hybrid", "vector", "lexical"):
        query = IndexQuery(vector(), "milk", 9, Filter(document_ids=frozenset(["d1", "d2"])), mode)
        assert ids(index.search(query)) == ["c2"]


def test_statistics_are_of_the_chunks_that_can_be_found(builder: IndexBuilder) -> None:
    """A word is as rare, and a chunk as long, as if the removed had never been there."""
    changed = builder.build(rows_of(["milk milk long long text", "milk", "bread", "milk tea"]))
    changed = changed.with_changes(rows_of(["tea"], prefix="x"), frozenset(["c0"]))
    query = IndexQuery(None, "milk tea", 9, mode="lexical")
    now = changed.search(query)
    assert [one.fused for one in changed.compacted().search(query)] == [one.fused for one in now]
    assert ids(changed.compacted().search(query)) == ids(now) == ["c3", "c1", "x0", "c2"]


def test_the_score_is_the_cosine_in_every_mode_and_none_without_a_vector(builder: IndexBuilder) -> None:
    rows = rows_of(["milk", "bread", "wine"])
    expected = dict(zip(["c0", "c1", "c2"], rows.vectors.astype(np.float64) @ vector(), strict=True))
    index = builder.build(rows)
    for mode in ("hybrid", "vector", "lexical"):
        for one in index.search(IndexQuery(vector(), "bread", 3, mode=mode)):
            assert one.score == pytest.approx(expected[one.record.chunk_id], abs=1e-5)
    assert {one.score for one in index.search(IndexQuery(None, "bread", 3))} == {None}


def test_hybrid_puts_first_what_both_rankings_have_high_up(builder: IndexBuilder) -> None:
    vectors = unit_rows(4, 1, DIMENSION)
    rows = ChunkRows([a_record(f"c{n}", t) for n, t in enumerate(["x", "milk", "milk milk", "y"])], to_half(vectors))
    found = builder.build(rows).search(IndexQuery(vectors[2], "milk", 4))
    assert ids(found)[0] == "c2"
    assert found[0].fused == pytest.approx(2 / 61)


def test_weights_move_the_result_towards_one_ranking(builder: IndexBuilder) -> None:
    vectors = unit_rows(2, 1, DIMENSION)
    index = builder.build(ChunkRows([a_record("near", "x"), a_record("named", "milk")], to_half(vectors)))
    for weights, first in ((Weights(1.0, 0.0), "near"), (Weights(1.0, 3.0), "named"), (Weights(0.0, 1.0), "named")):
        assert ids(index.search(IndexQuery(vectors[0], "milk", 2, weights=weights)))[0] == first


def test_of_chunks_that_say_the_same_diversity_takes_one_first(builder: IndexBuilder) -> None:
    one, other = unit_rows(2, 1, DIMENSION)
    vectors = to_half(np.array([one, one, one, other]))
    index = builder.build(ChunkRows([a_record(f"c{n}", "milk") for n in range(4)], vectors))
    asked = IndexQuery(one, "milk", 3, mode="vector")
    assert ids(index.search(asked)) == ["c0", "c1", "c2"]
    diverse = IndexQuery(one, "milk", 3, mode="vector", diversity=0.7)
    assert ids(index.search(diverse)) == ["c0", "c3", "c1"]
    assert len(index.search(IndexQuery(one, "milk", 9, diversity=1.0))) == 4


@pytest.mark.parametrize(
    "text",
    ["", " \n", "?!…", "東京都に行く", "🙂🙂", "a" * 32_768, "é́́́" * 8_000, "word " * 6_553, "ﷺ" * 32_768],
    ids=["empty", "blank", "marks", "chinese", "emoji", "one long word", "accents", "many words", "expanding"],
)
def test_any_text_can_be_kept_and_asked(builder: IndexBuilder, text: str) -> None:
    index = builder.build(rows_of([text, "milk", text]))
    found = index.search(IndexQuery(vector(), text, 3))
    assert {one.record.text for one in found} == {text, "milk"}
    assert len(reloaded(builder, index).search(IndexQuery(None, text, 3, mode="lexical"))) == 3


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=6), st.text(max_size=40))
def test_any_text_finds_the_same_by_words_as_the_plain_computation(texts: list[str], asked: str) -> None:
    query = IndexQuery(None, asked, 9, mode="lexical")
    found, expected = (BUILDERS[kind].build(rows_of(texts)).search(query) for kind in ("exact", "plain"))
    assert [(one.record.chunk_id, one.fused) for one in found] == [
        (one.record.chunk_id, pytest.approx(one.fused)) for one in expected
    ]


def test_large_numbers_and_any_json_in_the_metadata_come_back(builder: IndexBuilder) -> None:
    metadata: Metadata = {"n": 10**30, "deep": [{"x": [None, True, 1.5]}], "é": "\u2028"}
    rows = ChunkRows([a_record("c", "milk", "d", metadata)], to_half(unit_rows(1)))
    for index in (builder.build(rows), reloaded(builder, builder.build(rows))):
        assert index.search(IndexQuery(vector(), "milk", 1))[0].record == rows.records[0]


def test_several_threads_may_search_at_once(hybrid_builder: IndexBuilder) -> None:
    index = reloaded(hybrid_builder, hybrid_builder.build(rows_of([f"milk {n}" for n in range(500)])))
    index = index.with_changes(rows_of(["milk"] * 5, prefix="x"), frozenset(["c3"]))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: index.search(IndexQuery(vector(), "milk 7", 10)), range(40)))
    assert all(answer == answers[0] for answer in answers)


# Kinds and files


@pytest.mark.parametrize(("sizes", "floor"), [(FLAT, 0.95), (LISTS, 0.9)], ids=["flat", "lists"])
def test_an_approximate_kind_finds_nearly_all_of_the_nearest(sizes: Sizes, floor: float) -> None:
    centres = unit_rows(40, 5, 64)
    around = unit_rows(4_000, 6, 64)
    vectors = np.repeat(centres, 100, axis=0) + 0.8 * around
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = ChunkRows([a_record(f"c{n}") for n in range(4_000)], to_half(vectors.astype(np.float32)))
    kinds: list[Callable[[], HybridIndex]] = [
        lambda: HybridIndexBuilder(EXACT).build(rows),
        lambda: HybridIndexBuilder(sizes, Effort(rescored=200, probes=64, scanned=0)).build(rows),
    ]
    exact, approximate = (kind() for kind in kinds)
    hits, measured = 0, 0.0
    for row in range(0, 4_000, 100):
        query = IndexQuery(vectors[row].astype(np.float32), "", 10, mode="vector")
        hits += len(set(ids(exact.search(query))) & set(ids(approximate.search(query))))
        measured += approximate.recall(query)
    assert hits / 400 >= floor
    assert measured / 40 == pytest.approx(hits / 400)


@pytest.mark.parametrize("kind", ["flat", "lists"])
def test_what_an_approximate_kind_misses_is_measured_and_an_exact_one_misses_nothing(kind: str) -> None:
    rows = rows_of(["milk"] * 600)
    index = HybridIndexBuilder(KINDS[kind], LITTLE, _builder.analyzer).build(rows)
    assert index.approximation == kind
    asked = [IndexQuery(vector(seed), "", 20, mode="vector") for seed in range(20)]
    assert 0.0 < sum(index.recall(query) for query in asked) / len(asked) < 0.9
    assert index.recall(replace(asked[0], filter=Filter(document_ids=frozenset(["none"])))) == 1.0
    for name in ("plain", "exact"):
        precise = BUILDERS[name].build(rows)
        assert (precise.approximation, precise.recall(asked[0])) == (None, 1.0)
    for name in (*BUILDERS, kind):
        with pytest.raises(ValueError, match="by vector"):
            BUILDERS[name].build(rows).recall(IndexQuery(None, "milk", 1))


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(query=QUERIES, seed=st.integers(0, 5), gone=st.frozensets(st.integers(0, 299), max_size=200))
def test_a_filter_leaves_min_k_and_matches_however_little_an_approximate_kind_looks_at(
    kind: str, query: IndexQuery, seed: int, gone: frozenset[int]
) -> None:
    index, records = few_of_everything(kind, seed)
    index = index.with_changes(rows_of([]), frozenset(f"c{n}" for n in gone))
    matches = {
        record.chunk_id
        for n, record in enumerate(records)
        if n not in gone and (query.filter is None or query.filter.allows(record.document_id, record.metadata))
    }
    found = ids(index.search(query))
    assert len(found) == len(set(found)) == min(query.k, len(matches))
    assert set(found) <= matches


@cache
def few_of_everything(kind: str, seed: int) -> tuple[TenantIndex, list[ChunkRecord]]:
    sources, tags, dates = ["wiki", "mail", 7], [["a"], ["a", "b"], [], "b"], ["2024-01-01", "2025-01-01", "soon"]
    records = [
        a_record(
            f"c{n}",
            WORDS[n % len(WORDS)],
            f"d{n % 40}",
            {"source": sources[n % 3], "tags": tags[n % 4], "date": dates[n % 5 % 3]},  # type: ignore[dict-item]
        )
        for n in range(300)
    ]
    rows = ChunkRows(records, to_half(unit_rows(300, seed, DIMENSION)))
    return HybridIndexBuilder(KINDS[kind], LITTLE, _builder.analyzer).build(rows), records


def test_the_kind_follows_from_the_number_of_chunks_and_only_approximate_ones_keep_codes() -> None:
    builder = HybridIndexBuilder(Sizes(exact=10, flat=20), ALL, _builder.analyzer)
    for size, has_codes in ((10, False), (11, True), (21, True)):
        assert ("codes.faiss" in builder.build(rows_of(["x"] * size)).files()) is has_codes
    shrunk = builder.build(rows_of(["x"] * 11)).with_changes(rows_of([]), frozenset(["c1"])).compacted()
    assert "codes.faiss" not in shrunk.files()


def test_an_index_with_changes_has_no_files_until_it_is_compacted(hybrid_builder: IndexBuilder) -> None:
    changed = hybrid_builder.build(rows_of(["milk"])).with_changes(rows_of(["tea"], prefix="x"), frozenset())
    with pytest.raises(ValueError, match="compacted"):
        changed.files()
    assert ids(reloaded(hybrid_builder, changed.compacted()).search(IndexQuery(None, "tea", 1))) == ["x0"]


def test_a_large_index_is_compacted_and_written_out_of_a_folder_and_leaves_nothing_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "SMALL_BYTES", 0)
    rows, changes = rows_of(["milk " * 100] * 300), rows_of(["tea"] * 5, prefix="x")
    found = []
    for folder in (None, tmp_path):
        builder = HybridIndexBuilder(FLAT, ALL, _builder.analyzer, folder)
        index = builder.build(rows).with_changes(changes, frozenset(["c3", "c200"])).compacted()
        found.append((index, ids(index.search(IndexQuery(vector(), "milk tea", 400)))))
    in_memory, on_disk = found
    assert on_disk[1] == in_memory[1]
    assert on_disk[0].nbytes < in_memory[0].nbytes / 3
    assert list(tmp_path.iterdir()) == []
    for name, content in in_memory[0].files().items():
        assert content.to_bytes() == on_disk[0].files()[name].to_bytes()
        assert sum(map(len, content.blocks())) == content.size


def test_what_is_loaded_from_files_keeps_less_in_memory(hybrid_builder: IndexBuilder) -> None:
    index = hybrid_builder.build(rows_of(["milk " * 100] * 300))
    assert reloaded(hybrid_builder, index).nbytes < index.nbytes
    assert index.nbytes < index.with_changes(rows_of(["tea"], prefix="x"), frozenset()).nbytes


@pytest.mark.parametrize("name", ["vectors.f16", "lexical.bin", "records.bin", "codes.faiss"])
@pytest.mark.parametrize("harm", ["cut", "empty", "pickle", "other"])
def test_files_that_are_none_of_ours_are_refused_and_nothing_in_them_is_run(
    name: str, harm: str, tmp_path: Path
) -> None:
    builder = HybridIndexBuilder(FLAT, ALL, _builder.analyzer)
    files, other = (
        {name: content.to_bytes() for name, content in builder.build(rows_of(["milk"] * size)).files().items()}
        for size in (40, 41)
    )
    planted = b"cos\nsystem\n(S'touch " + str(tmp_path / "run").encode() + b"'\ntR."
    files[name] = {"cut": files[name][:-100], "empty": b"", "pickle": planted, "other": other[name]}[harm]
    paths = {each: tmp_path / each for each in files}
    for each, content in files.items():
        paths[each].write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 - which part of a file is missing is said in different words
        builder.load(paths, DIMENSION)
    assert not (tmp_path / "run").exists()


def test_files_of_another_dimension_or_none_are_refused(tmp_path: Path) -> None:
    builder = HybridIndexBuilder(EXACT, ALL, _builder.analyzer)
    with pytest.raises(ValueError, match="lacks"):
        builder.load({}, DIMENSION)
    paths = {name: tmp_path / name for name in builder.build(rows_of(["x"] * 3)).files()}
    for name, content in builder.build(rows_of(["x"] * 3)).files().items():
        paths[name].write_bytes(content.to_bytes())
    with pytest.raises(ValueError, match="number of chunks"):
        builder.load(paths, DIMENSION * 3)


def test_the_reference_is_none_of_the_kinds_it_judges() -> None:
    assert isinstance(BUILDERS["plain"].build(rows_of([])), PlainIndex)


@pytest.mark.parametrize("kind", [*KINDS, "plain"])
def test_an_index_made_in_portions_is_the_one_made_at_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "SMALL_BYTES", 0)
    builder = BUILDERS[kind]
    if isinstance(builder, HybridIndexBuilder):
        builder = replace(builder, scratch=tmp_path)
    rows = rows_of([f"milk {n % 7} tea {n}" for n in range(300)])
    whole = builder.build(rows).files()
    for cut in (7, 100, 299, 1_000):
        index = built(builder, rows, cut)
        assert {name: content.to_bytes() for name, content in index.files().items()} == {
            name: content.to_bytes() for name, content in whole.items()
        }
    assert list(tmp_path.iterdir()) == []
