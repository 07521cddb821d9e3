"""The words of a text, as the lexical index knows them."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """In the order of the text, folded, so that a question finds what was written in another case or form."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
