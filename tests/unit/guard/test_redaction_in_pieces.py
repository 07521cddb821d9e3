"""A text that comes in pieces is redacted as the whole of it is."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.detectors import detectors
from guard.kinds import Kind
from guard.redaction import Redactor
from guard.shadow import ascii_shadow

PARTS = [
    "\\", "\\n", "\\\\t", "n", "t",
    "alice@example.com", "a@b.co@", "@c.co", ".uk", "x" * 70, "-", ".", " ", "\n", "é", "请", "\uff0c", "'",
    "4111 1111 1111 1111", "4111", "1111", "411111", " 1", "0", "DE89 3704 0044 0532 0130 00", "DE8", "GB82WEST",
    "+49 30 1234567", "+", "(", ")", "202-555-0123", "call ", "Tel. 030/", "1 800 ", " EUR", "$", "ISBN ", "no. ",
    "10.0.0.1", "1.2.3.4", "::1", "2001:db8::", ":", "fe80", "version ", "v", "nginx-", "==",
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "sk-", "sk-proj-abcdefgh0123456789ijkl",
    "eyJhbGciOiJI.", "api_key=", "Bearer ", "ghp_", "a1" * 18, "://u:", "@", "/", "=", "secret_key: ",
    "0:0:0:0:0:ffff:", "eyJabcdefgh.abcdefgh",
    "secret=aaaaaaaaaa/bbbbbbbbbb/cccccccccc/ddddddd", "xoxb-abcdefghijkl", "1:2:3:4:5:6:7:8",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=60).map("".join)
REDACTORS = {
    (kinds, region): Redactor(kinds, region)
    for kinds in [tuple(Kind), *((kind,) for kind in Kind)]
    for region in ("US", "DE", None)
}
SOME_REDACTOR = st.sampled_from(list(REDACTORS.values()))


@settings(max_examples=600, deadline=None)
@given(TEXTS, st.data(), SOME_REDACTOR)
def test_what_lies_a_window_before_the_end_does_not_change_when_more_text_comes(
    text: str, data: st.DataObject, redactor: Redactor
) -> None:
    cut = data.draw(st.integers(0, len(text)))
    sure = cut - redactor.window
    seen, whole = redactor.spans(text[:cut]), redactor.spans(text)
    assert [span for span in seen if span.end <= sure] == [span for span in whole if span.end <= sure]


@settings(max_examples=600, deadline=None)
@given(TEXTS, st.data(), SOME_REDACTOR)
def test_what_is_settled_stays_as_it_is(text: str, data: st.DataObject, redactor: Redactor) -> None:
    cut = data.draw(st.integers(0, len(text)))
    settled = redactor.settled(text[:cut])
    assert cut - redactor.window <= settled <= cut
    seen, whole = redactor.spans(text[:cut]), redactor.spans(text)
    assert [span for span in seen if span.start < settled] == [span for span in whole if span.start < settled]


@settings(max_examples=600, deadline=None)
@given(TEXTS, st.data(), SOME_REDACTOR)
def test_what_lies_further_back_may_be_forgotten(text: str, data: st.DataObject, redactor: Redactor) -> None:
    start = data.draw(st.integers(0, len(text)))
    sure = start + redactor.look_behind
    rest = [(span.start + start, span.end + start, span.placeholder) for span in redactor.spans(text[start:])]
    whole = [(span.start, span.end, span.placeholder) for span in redactor.spans(text)]
    assert [span for span in rest if span[0] >= sure] == [span for span in whole if span[0] >= sure]


@settings(max_examples=300, deadline=None)
@given(TEXTS, SOME_REDACTOR)
def test_spans_are_in_order_apart_and_no_wider_than_the_window(text: str, redactor: Redactor) -> None:
    spans = redactor.spans(text)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert all(span.end - span.start <= redactor.window for span in spans)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_no_detector_finds_more_than_it_says(text: str) -> None:
    shadow = ascii_shadow(text)
    assert len(shadow) == len(text)
    assert shadow.isascii()
    for detector in detectors(Kind, "US"):
        assert all(end - start <= detector.max_width <= detector.reach for start, end in detector.find(shadow))


def test_in_prose_nothing_but_the_last_word_is_undecided() -> None:
    redactor = Redactor(Kind, "US")
    assert redactor.settled("The market was quiet that day.") == len("The market was quiet that ")
    assert redactor.settled("The market was quiet that day. ") == len("The market was quiet that day. ")
    assert redactor.settled("Card 4111 1111 11") == len("Card ")
