"""Whether any of many literals stands in a text: RE2's automaton reads a byte five times as quickly as the one that
says which, and where."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import re2

MIN_LITERALS, MAX_LETTERS = 250, 20_000
"""Fewer are quick to look for without it, and most of ten thousand tenants have fewer: it takes 1 to 2 kB a literal
once it has read some texts. To make it takes 0.3 microseconds for each letter, in which no other thread runs."""
_MEMORY, _LETTER_MEMORY = 2 << 20, 64
"""Bytes that it may use for its program and what it remembers of texts: so many, and so many for each letter."""
_ALWAYS = r"\A"
"""First of all: RE2 says "nothing" of a text for which its memory did not suffice, then also of this."""
_SEPARATOR = b"\0"
"""Stands in no literal."""


class LiteralFilter:
    """Immutable. `literals`: as they stand in canonical texts."""

    def __init__(self, literals: Collection[str]) -> None:
        self._set: Any = None
        letters = sum(map(len, literals))
        if len(literals) < MIN_LITERALS or letters > MAX_LETTERS:
            return
        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        options.max_mem = _MEMORY + _LETTER_MEMORY * letters
        found = re2.Set.SearchSet(options)
        found.Add(_ALWAYS)
        try:
            for one in sorted(literals):
                found.Add(re2.escape(one))
            found.Compile()
        except (re2.error, UnicodeEncodeError):
            return  # with half a surrogate pair
        self._set = found

    def rules_out(self, *texts: str) -> bool:
        """Whether none of them stands in any of the texts. False may also mean that it is not known."""
        if self._set is None:
            return False
        encoded = _SEPARATOR.join(text.encode("utf-8", "surrogatepass") for text in texts)
        return bool(self._set.Match(encoded) == [0])
