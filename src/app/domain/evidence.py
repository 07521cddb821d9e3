"""Which passages the sentences of an answer come from, where the model has marked none: by the words they share.

Small models seldom mark what they cite. A sentence is ascribed to the passage that has most of what the sentence says
beyond the question, if that is at least half of it. What only repeats the question rests on nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise

SHARE = 0.5
"""Of a sentence's weight that its passage must have. Measured: benchmarks/README.md, citations."""
ENOUGH = 2
"""The least weight that is a trace: two words, or one number."""
STEM_CHARS = 6
"""Words count as the same when they begin alike so far, without a last s: a stemmer of no language, for all."""

_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+")
_SPACELESS = re.compile(r"[\u0e01-\u0edf\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]+")
_SHORT = 3
"""Words so short are articles and prepositions in most languages; these longer ones are no better."""


def _stem(word: str) -> str:
    return word.removesuffix("s")[:STEM_CHARS]


_EMPTY_WORDS = """
about above according after also although answer because been before being below between both cannot could does doing
each either every from given have having here however information into just know like listed made mention mentioned
more most much must need only other over passage passages provided question same should since some such text than that
their them then there therefore these they this those through under unless until very want were what when where
whether which while whom whose will with within without would your aber alle auch auf aus beim dann dass diese dieser
eine einem einen einer eines haben hier kann mehr nach nicht noch nur oder sein sich sind und vom von werden wird zum
zur avec cette dans des elle elles entre est leur mais nous pour plus que qui sont sur une vous como con del desde
donde esta este esto para pero por porque los las una unos sobre tiene son della delle degli nella sono questo questa
"""
_EMPTY = frozenset(map(_stem, _EMPTY_WORDS.split()))


def supported(answer: str, question: str, passages: Sequence[str]) -> list[int]:
    """The numbers (from 1) of the passages that sentences of the answer come from, in the order of the sentences."""
    asked = _weights(question).keys()
    held: list[Collection[str]] = []
    found: dict[int, None] = {}
    for sentence in _SENTENCE_END.split(answer):
        said = {word: weight for word, weight in _weights(sentence).items() if word not in asked}
        total = sum(said.values())
        if not total:
            continue
        held = held or [_weights(passage).keys() for passage in passages]
        shares = [sum(weight for word, weight in said.items() if word in words) for words in held]
        best = max(shares, default=0)
        if best >= min(ENOUGH, total) and best >= SHARE * total:
            found[shares.index(best) + 1] = None
    return list(found)


def _weights(text: str) -> dict[str, int]:
    """Its words, each with what it says: a number twice as much."""
    found: dict[str, int] = {}
    for word in set(_WORD.findall(text.casefold())):
        if word[0].isdigit():
            found[word] = 2
        elif not word.isascii() and _SPACELESS.match(word):
            found.update(dict.fromkeys(map("".join, pairwise(word)), 1) if len(word) > 1 else {word: 1})
        elif len(word) > _SHORT and (stem := _stem(word)) not in _EMPTY:
            found[stem] = 1
    return found
