"""The canonical form: the same lengths, places in the original, and linear time whatever is written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.canonical import Canonical, _Clustered, _table, _Tabled, canonical
from guard.cluster_table import CAPACITY

ODD = "aA \n\té\u0301\u0336\u200b\u00adßﬁ™ⓟ\ufdfaİıſKс\u0441ο한\u1112\u1161\u11ab\ufe0f👍\x01\u2800٣ё\u0308и\u0306"
texts = st.text(alphabet=st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), max_size=40)


@given(texts)
def test_all_forms_have_the_same_length_and_every_character_its_place(text: str) -> None:
    form = canonical(text)
    places = list(form.offsets)
    assert len(form.plain) == len(form.skeleton) == len(form.edges) == len(places) - 1
    assert places == sorted(places)
    assert places[-1] == len(text)
    for start in range(len(form.plain)):
        first, last = form.span(start, start + 1)
        assert 0 <= first < last <= len(text)


@given(texts)
def test_all_ways_to_read_a_text_say_the_same(text: str) -> None:
    """All at once, as long texts are read, and cluster by cluster."""
    one, other = _tabled(text), _Clustered(text)
    assert (one.plain, one.skeleton, one.edges, list(one.offsets)) == (
        other.plain,
        other.skeleton,
        other.edges,
        list(other.offsets),
    )
    quick = canonical(text)
    assert (quick.plain, quick.skeleton, quick.edges) == (other.plain, other.skeleton, other.edges)


def _tabled(text: str) -> Canonical:
    return _Tabled(text, _table().read(text))


def test_a_text_of_more_clusters_than_have_numbers_is_read_all_the_same() -> None:
    clusters = [chr(base) + chr(mark) for base in range(0x400, 0x500) for mark in range(0x300, 0x36F)]
    for text in ("".join(clusters), "".join(clusters) + "".join(map(chr, range(0x3400, 0x3400 + CAPACITY)))):
        form = canonical(text)
        assert (form.plain, form.skeleton) == (_Clustered(text).plain, _Clustered(text).skeleton)
    assert canonical("ΟΚ " * 40).skeleton == "ok " * 40


def test_clusters_that_are_alike_are_told_apart() -> None:
    """Texts that differ in one mark, each after the other, however many share a slot."""
    marked = [f"{base}{mark}" for base in "иегаоуk" for mark in map(chr, range(0x300, 0x320))]
    for one in marked:
        text = one * 40
        assert canonical(text).plain == _Clustered(text).plain


def test_capitals_that_look_like_others_than_their_small_letters_do_beside_any_alphabet() -> None:
    assert canonical("\u0397é").skeleton == canonical("\u0397").skeleton + "e"
    assert canonical("\u0397é " * 40).skeleton == "he " * 40


@given(texts)
def test_the_canonical_form_of_ascii_in_it_is_itself(text: str) -> None:
    form = canonical(text)
    if form.skeleton.isascii():
        assert canonical(form.skeleton).skeleton == form.skeleton


@pytest.mark.parametrize("unit", ["a", "e\u0301", "\u0301\u0323", "\u200b", " \u00a0", "\ufdfa", "с", "\u1112\u1161"])
def test_it_takes_linear_time(unit: str) -> None:
    began = time.process_time()
    canonical("a" + unit * (32_768 // len(unit)))
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("text", "start", "end", "original"),
    [
        ("a\u0301b", 0, 1, "a\u0301"),
        ("x p\u200ba\u200bss", 2, 6, "p\u200ba\u200bss"),
        ("\ufb01x", 1, 2, "\ufb01"),
        ("a \n\u2003 b", 1, 2, " \n\u2003 "),
        ("ca\u0301t.", 0, 3, "ca\u0301t"),
    ],
)
def test_a_span_covers_all_of_the_original_that_it_was_made_of(text: str, start: int, end: int, original: str) -> None:
    first, last = canonical(text).span(start, end)
    assert text[first:last] == original
