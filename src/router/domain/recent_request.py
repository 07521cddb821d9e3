"""A request of a tenant's recent past, as far as it is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

MAX_KEPT = 200
"""Requests kept of a tenant: as many as one dry run takes."""
MAX_QUERY_BYTES = 31 * 1024
"""In UTF-8. With the other fields beside it an entry is at most 32 KiB."""


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """`at` is aware. `cut`: the query was longer than what is kept of it."""

    request_id: str
    at: datetime
    query: str
    locale: str | None = None
    cut: bool = False

    def shortened(self) -> RecentRequest:
        """The same, its query cut to whole characters of at most `MAX_QUERY_BYTES`."""
        if len(self.query) * 4 <= MAX_QUERY_BYTES:  # no character takes more than four
            return self
        encoded = self.query.encode()
        if len(encoded) <= MAX_QUERY_BYTES:
            return self
        return replace(self, query=encoded[:MAX_QUERY_BYTES].decode(errors="ignore"), cut=True)
