"""What a traced request leaves behind for the thread that tells the collector: names, times, and whose it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Noted:
    name: str
    began: float
    ended: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """Spans of a request, all children of its own, which is among them as `root` unless it was told before.

    Times are on `time.perf_counter`'s clock; `epoch_ns` is its zero. `facts` are said of the root alone.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    tenant_id: str
    request_id: str
    facts: dict[str, str | int]
    spans: tuple[Noted, ...]
    root: Noted | None
    epoch_ns: int

    @classmethod
    def read(cls, found: dict[str, Any]) -> Finished:
        """Of its JSON."""
        spans, root = found.pop("spans"), found.pop("root")
        return cls(spans=tuple(Noted(**one) for one in spans), root=Noted(**root) if root else None, **found)
