"""Traces of requests: `span("retrieve")` anywhere in a request's work, and `trace_headers()` for whom it asks.

Nothing is loaded and next to nothing done where tracing is off: then a client's `traceparent` is handed on, and that is
all. Where it is on, a request only notes names and times; spans are made of them in another thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from time import perf_counter
from typing import Protocol

from observability.record import RequestRecord
from observability.traceparent import TraceParent, read_traceparent


class Trace(Protocol):
    """One request's, in one service."""

    def headers(self) -> dict[str, str]:
        """For the services that are asked in its course."""
        ...

    def note(self, name: str, began: float, ended: float, error: str | None = None) -> None:
        """A span that has ended, on `time.perf_counter`'s clock."""
        ...

    def end(self) -> None: ...


class Tracer(Protocol):
    def begin(self, record: RequestRecord, headers: Mapping[str, str]) -> Trace | None:
        """`headers` are the request's, with names in small letters."""
        ...


class HandedOn:
    """The trace of a service that keeps none: the client's, as it came."""

    __slots__ = ("_headers",)

    def __init__(self, parent: TraceParent) -> None:
        self._headers = parent.headers()

    def headers(self) -> dict[str, str]:
        return self._headers

    def note(self, name: str, began: float, ended: float, error: str | None = None) -> None:
        pass

    def end(self) -> None:
        pass


class HandingOn:
    """The tracer where tracing is off."""

    def begin(self, record: RequestRecord, headers: Mapping[str, str]) -> Trace | None:
        offered = headers.get("traceparent")
        if offered is None:
            return None
        parent = read_traceparent(offered, headers.get("tracestate"))
        return HandedOn(parent) if parent else None


CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""Set by the request middleware; tasks that a request starts inherit it."""
_NO_SPAN: AbstractContextManager[None] = nullcontext()


def trace_headers() -> dict[str, str]:
    """`traceparent` and `tracestate` for a call to another service; nothing outside of a trace."""
    trace = CURRENT.get()
    return trace.headers() if trace is not None else {}


def span(name: str) -> AbstractContextManager[None]:
    """Around a part of a request's work; may be left in another context than it was entered in."""
    trace = CURRENT.get()
    return _NO_SPAN if trace is None else _noted(trace, name)


def note_span(name: str, began: float, ended: float) -> None:
    """A part of a request's work that has ended, on `time.perf_counter`'s clock."""
    trace = CURRENT.get()
    if trace is not None:
        trace.note(name, began, ended)


@contextmanager
def _noted(trace: Trace, name: str) -> Iterator[None]:
    began = perf_counter()
    try:
        yield
    except BaseException as error:
        trace.note(name, began, perf_counter(), type(error).__name__)
        raise
    trace.note(name, began, perf_counter())
