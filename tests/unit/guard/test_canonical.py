"""The canonical form: the same lengths, places in the original, and linear time whatever is written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard import canonical as module
from guard.canonical import canonical

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
def test_the_quick_way_and_the_long_way_say_the_same(text: str) -> None:
    quick, slow = canonical(text), module.Canonical(text)
    assert (quick.plain, quick.skeleton, quick.edges) == (slow.plain, slow.skeleton, slow.edges)


@given(texts)
def test_the_canonical_form_of_ascii_in_it_is_itself(text: str) -> None:
    form = canonical(text)
    if form.skeleton.isascii():
        assert canonical(form.skeleton).skeleton == form.skeleton


def test_characters_that_are_taken_to_stand_for_themselves_do() -> None:
    for first, last in module._ALWAYS_USUAL:
        for character in map(chr, range(first, last + 1)):
            if not module.is_look_alike(character) and module._READ[character][0] != "":
                assert module._READ[character] == (character,) * 3 or not character.isalnum(), character


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
