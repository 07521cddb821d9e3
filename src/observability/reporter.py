"""Takes each interval's metrics to their sink, in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from observability.interval import Interval, Series

_logger = logging.getLogger("atrium.telemetry")


class Reporter:
    def __init__(self, interval: Interval, tell: Callable[[list[Series]], None], *, every_s: float) -> None:
        self._interval = interval
        self._tell = tell
        self._every_s = every_s
        self._closing = Event()
        self._thread = Thread(target=self._run, name="telemetry metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self, *, within_s: float) -> None:
        """The interval under way is told as well."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(within_s)

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(self._every_s)
            try:
                self._tell(self._interval.take())
            except Exception:  # the edge of the thread, which must see the next interval
                _logger.exception("an interval's metrics could not be told")
