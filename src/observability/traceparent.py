"""The W3C trace context (https://www.w3.org/TR/trace-context/): read with distrust, written anew."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")
_TRACESTATE = re.compile(r"[ -~]{1,512}")
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceParent:
    """Hexadecimal ids, as on the wire. `state` is vendors' own, passed on as it came."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""

    def headers(self) -> dict[str, str]:
        found = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"}
        if self.state:
            found["tracestate"] = self.state
        return found


def read_traceparent(traceparent: str | None, tracestate: str | None) -> TraceParent | None:
    """None for anything but a valid one. A later version is read as this one, as the standard asks for."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent and len(traceparent) <= 256 else None
    if found is None or (found[4] and traceparent is not None and traceparent.startswith("00-")):
        return None
    state = tracestate if tracestate and _TRACESTATE.fullmatch(tracestate) else ""
    return TraceParent(found[1], found[2], bool(int(found[3], 16) & _SAMPLED), state)


def new_trace_id() -> str:
    return f"{random.getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"
