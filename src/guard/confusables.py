"""Characters that are read as an ASCII letter or digit: Unicode TR39, and letters that say so in their name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache

_NAMED = re.compile(
    r"LATIN (?:SMALL|CAPITAL) LETTER ([A-Z]) WITH .*"
    r"|LATIN LETTER SMALL CAPITAL ([A-Z])"
    r"|(?:NEGATIVE CIRCLED|NEGATIVE SQUARED|CROSSED NEGATIVE SQUARED) LATIN CAPITAL LETTER ([A-Z])"
    r"|REGIONAL INDICATOR SYMBOL LETTER ([A-Z])"
)
"""Names of letters with a stroke or a hook, of small capitals and of letters in boxes, which TR39 leaves apart."""

_AS_E = frozenset("εɛєЄ")
"""TR39 counts them among the forms of c; a reader of a Latin word takes them for e."""


@cache
def look_alike() -> Callable[[str], str | None]:
    """A function from one character to the lower-case letter or digit as which it is read; None where there is none,
    and for ASCII, which is never a look-alike: `m` is not `rn`, `0` is not `O`."""
    prototypes = _prototypes()

    def of_one(character: str) -> str | None:
        if named := _NAMED.fullmatch(unicodedata.name(character, "")):
            return _letter(named)
        read = _without_marks(prototypes.get(character, ""))
        if len(read) != 1 or read == character:
            return None
        if read.isascii():
            return read.lower() if read.isalnum() else None
        named = _NAMED.fullmatch(unicodedata.name(read, ""))
        return _letter(named) if named else None

    @cache
    def look(character: str) -> str | None:
        if character.isascii():
            return None
        if character in _AS_E:
            return "e"
        found, small = of_one(character), character.lower()
        if found is None or (found == "l" and small != character):  # TR39 counts a capital I among the forms of l
            others = (one for one in (small, character.upper()) if len(one) == 1 and one != character)
            found = next(filter(None, map(of_one, others)), found)
        return found

    return look


def _letter(named: re.Match[str]) -> str:
    return str(next(filter(None, named.groups()))).lower()


@cache
def _prototypes() -> Mapping[str, str]:
    from confusable_homoglyphs.confusables import confusables_data  # noqa: PLC0415  reads a file of 1 MB

    return {
        source: found[0]["c"]
        for source, found in confusables_data.items()
        if len(source) == 1 and not source.isascii() and found
    }


def _without_marks(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFD", text) if unicodedata.category(one)[0] != "M")
