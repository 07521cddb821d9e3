"""Passages that read like orders to the model: patterns with weights, and a threshold.

A hint, not a proof: a passage below the threshold is still data to the model, and one above it may be a handbook on
this very subject. What a passage that speaks of attacks puts in quotation marks, or reports that an attacker says,
weighs less: so a handbook passes and a whole payload in quotation marks does not.
"""

from __future__ import annotations

import re
import unicodedata

import re2

from guard.canonical import canonical
from guard.injection_signs import DISCUSSES, NEGATED, REPORTS, SIGNS

THRESHOLD = 4.0
REPORTED = 0.4
"""The weight of what is only quoted or reported by a passage that speaks of attacks."""
_MEMORY = 32 << 20
"""Bytes for the states of the patterns' one automaton, at most. With too few of them it would find nothing."""

_PATTERNS = tuple((kind, sign.weight, pattern) for kind, sign in SIGNS.items() for pattern in sign.patterns)
_NEGATED, _DISCUSSES, _REPORTS = re2.compile(NEGATED), re2.compile(DISCUSSES), re2.compile(REPORTS)
_QUOTED = re.compile(
    '"[^"]{1,300}"|\u201c[^\u201d]{1,300}\u201d|\u201e[^\u201c\u201d]{1,300}[\u201c\u201d]'
    "|\u00ab[^\u00bb]{1,300}\u00bb|`[^`]{1,300}`|(?<!\\w)'[^']{4,300}'(?!\\w)"
)
_SENTENCE_END = re.compile("(?<=[.!?\u3002]) ")


def _compiled() -> re2.Set:
    options = re2.Options()
    options.never_capture = True
    options.max_mem = _MEMORY
    signs = re2.Set.SearchSet(options)
    for _, _, pattern in _PATTERNS:
        signs.Add(pattern)
    signs.Compile()
    return signs


_SET = _compiled()

_TAGS = {code: chr(code - 0xE0000) for code in range(0xE0020, 0xE007F)}
"""Characters that are drawn nowhere and spell ASCII: models read them."""
_IGNORED = dict.fromkeys(
    (
        *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0, 0xE0001, 0xE007F),
        *range(0x180B, 0x1810),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xFE00, 0xFE10),
        *range(0xFFF0, 0xFFF9),
    )
)
_FROM_INVISIBLE = _TAGS | _IGNORED


def injection_score(text: str) -> float:
    """The sum of the weights of the kinds of signs in the text, also as it looks. Linear in it."""
    forms = {_normal(text)}
    if not text.isascii():
        forms.add(_normal(canonical(text).skeleton))
    return max(map(_score, forms))


def _score(seen: str) -> float:
    all_signs = _signs_in(seen)
    if not all_signs or not _DISCUSSES.search(seen):
        return sum(all_signs.values())
    own = _signs_in(_own_words(seen))
    return sum(weight if kind in own else REPORTED * weight for kind, weight in all_signs.items())


def reads_like_orders(text: str) -> bool:
    return injection_score(text) >= THRESHOLD


def _normal(text: str) -> str:
    """Lower case, NFKC, without what is not drawn; white space folded."""
    if not text.isascii():
        drawn = text.encode("utf-8", "replace").decode().translate(_FROM_INVISIBLE)
        text = unicodedata.normalize("NFKC", drawn).replace("\u2019", "'").replace("\u2018", "'")
    return " ".join(_NEGATED.sub("-", text.lower()).split())


def _signs_in(text: str) -> dict[str, float]:
    return {_PATTERNS[number][0]: _PATTERNS[number][1] for number in _SET.Match(text) or ()}


def _own_words(text: str) -> str:
    """Without what is quoted, and without sentences that report what somebody may say."""
    sentences = _SENTENCE_END.split(_QUOTED.sub(" - ", text))
    return " ".join(sentence for sentence in sentences if not _REPORTS.search(sentence))
