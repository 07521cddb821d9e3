"""Text as detectors see it: ASCII, character for character, so that a place in it is the same place in the text."""

from __future__ import annotations

import re
import unicodedata

LETTER = "_"
"""A letter or mark of a script that sets spaces between words: part of a word, and of no number or key."""
OTHER = "\x01"
"""Anything else beyond ASCII. Also letters of scripts without spaces: an address may stand right behind one."""


_BY_CATEGORY = {"Zs": " ", "Zl": " ", "Zp": " ", "Pd": "-", "Sc": "$"} | dict.fromkeys(
    ("Lu", "Ll", "Lt", "Lm", "Mn", "Mc", "Me"), LETTER
)


class _Shadow(dict[int, str]):
    """What each character becomes, found out when it is first met: at most one entry a code point."""

    def __missing__(self, code: int) -> str:
        found = self[code] = _shadow_of(chr(code))
        return found


def _shadow_of(character: str) -> str:
    if character < "\x80":
        return character
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    folded = unicodedata.normalize("NFKC", character)
    if len(folded) == 1 and folded < "\x80":  # full-width forms, no-break spaces
        return folded
    if character == "\u2212":  # minus
        return "-"
    return _BY_CATEGORY.get(category, OTHER)


_TABLE = _Shadow()
_ESCAPED_SPACE = re.compile(r"\\[nrt]")
"""As JSON and programs write a line break or a tab: its letter is part of no word behind it."""
_NO_LETTER = r"\\" + OTHER


def ascii_shadow(text: str) -> str:
    """As long as the text. Digits of any script become 0 to 9, full-width forms their ASCII twins, any dash `-`, any
    space a space, any currency sign `$`; the letter of an escaped line break or tab is none. Takes any text, half a
    surrogate pair too."""
    shadow = text if text.isascii() else text.translate(_TABLE)
    return _ESCAPED_SPACE.sub(_NO_LETTER, shadow) if "\\" in shadow else shadow
