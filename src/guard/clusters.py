"""A character and what is written onto it, as rules see it."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

from guard.alphabets import is_word_character, letters_in_use, script
from guard.confusables import look_alike
from guard.marks import BLANK, bare, is_dropped, is_invisible, may_grow, tail_expression

MAX_MARKS = 30
"""Marks on one letter that count, as in the Stream-Safe Text Format (UAX 15): sorting takes quadratic time."""
MAX_REMEMBERED = 20_000
"""Clusters."""
_EUROPEAN = {"LATIN", "GREEK", "CYRILLIC", "DIGIT"}


class Cluster(NamedTuple):
    """Of the same length. `edges` has of each character one that says whether the original is part of a word."""

    plain: str
    skeleton: str
    edges: str


@cache
def cluster_pattern() -> re.Pattern[str]:
    """Finds all of a text: runs of ASCII without marks, runs of white space, and clusters. What is written onto
    nothing, at the beginning of a text, is one as well."""
    tail = tail_expression()
    return re.compile(rf"[ -~]+(?!{tail})|(?:[\s{BLANK}]{tail}*)+|{tail}+|(?s:.){tail}*")


class _Read(dict[str, Cluster]):
    """Clusters that were read before."""

    def __missing__(self, cluster: str) -> Cluster:
        if len(cluster) > 1 and cluster.isascii() and cluster.isprintable():
            plain = cluster.lower()
            return Cluster(plain, plain, plain)
        found = _cluster(cluster)
        if len(cluster) <= 4:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[cluster] = found
        return found


READ = _Read()
"""By what `cluster_pattern` finds."""


def _cluster(cluster: str) -> Cluster:
    if cluster[0].isspace() or cluster[0] == BLANK:
        return Cluster(" ", " ", " ")
    if may_grow(cluster[0]):
        return Cluster("", "", "")
    seen = cluster if len(cluster) == 1 else "".join(one for one in cluster if not is_invisible(one))[: MAX_MARKS + 1]
    plain: list[str] = []
    skeleton: list[str] = []
    european = False
    for one in unicodedata.normalize("NFKC", seen):
        for folded in unicodedata.normalize("NFKC", one.casefold()):
            if unicodedata.category(folded)[0] == "M":
                if not european and not is_dropped(folded):
                    plain.append(folded)
                    skeleton.append(folded)
                continue
            european = script(folded) in _EUROPEAN
            plain.append(_plain(folded))
            skeleton.append(_skeleton(one if len(one.casefold()) == 1 else folded, plain[-1], seen))
    inside = is_word_character(cluster[0]) or not any(map(is_word_character, plain))
    edges = plain if inside else [" "] * len(plain)  # as of a trade mark sign, which ends the word before it
    return Cluster("".join(plain), "".join(skeleton), "".join(edges))


def _plain(character: str) -> str:
    """A folded character without accents that make no letter of a living alphabet; digits of all scripts as ASCII."""
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character in letters_in_use() or script(character) not in {"LATIN", "GREEK"}:
        return character
    return bare(character)


def _skeleton(character: str, plain: str, seen: str) -> str:
    """`seen`: as it was before its compatibility form, which of a lunate sigma (it looks like c) is another letter."""
    if plain.isascii():
        return plain
    without = bare(character)
    return (look_alike()(seen) if len(seen) == 1 else None) or look_alike()(without) or without.casefold()[:1]
