"""Which of many expressions may occur in a text, found in one pass: RE2 knows for most of them letters without which
they cannot match (FilteredRE2), and looks for all of these at once."""

from __future__ import annotations

from collections.abc import Sequence

import re2

_REGEX_MEMORY = 1 << 20
"""Bytes that an expression may use, as those do that an earlier release accepted. They are read here, and not run. What
a filter remembers of texts takes 8 MiB at most, as RE2 has it; its Python package lets nobody change that."""
_MARK = "\x01read to its end\x02"
"""Stands behind each text: RE2 says "nothing" of a text for which its memory did not suffice, then also of this."""


class ExpressionFilter:
    """Immutable but for giving up: where RE2's memory once did not suffice it is not asked again."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._filter: re2.Filter | None = re2.Filter()
        options = re2.Options()
        options.case_sensitive = False
        options.log_errors = False
        options.never_capture = True
        options.max_mem = _REGEX_MEMORY
        try:
            for pattern in patterns:
                self._filter.Add(pattern, options)
            self._mark = self._filter.Add(_MARK, options)
            self._filter.Compile()
        except re2.error:
            self._filter = None

    def possible(self, encoded: bytes) -> set[int] | None:
        """The places of patterns that may occur in a text of UTF-8: all that do, and some more. None: not known."""
        asked = self._filter
        if asked is None:
            return None
        found = set(asked.Match(encoded + _MARK.encode(), True) or ())
        if self._mark not in found:
            self._filter = None
            return None
        found.remove(self._mark)
        return found
