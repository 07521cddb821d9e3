"""A bounded queue to a sink out of reach of requests: who fills it never waits, and a thread of its own empties it.

Whatever the sink does (it hangs, refuses, is slow), the queue has a bound, and what does not get through is counted.

What waits is JSON. As objects, the records of a few minutes are some 100,000, and the garbage collector would walk
through them again and again, for 100 ms at a time in which no thread runs and every stream stands still.
"""

from __future__ import annotations

import json
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from threading import Event, Thread
from time import monotonic
from typing import Any, Generic, TypeVar

import orjson

from observability.logging import log

Put = TypeVar("Put")
T = TypeVar("T")
GIVE_UP_S = 60.0
"""How long one batch is tried, while others gather behind it."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0

_logger = logging.getLogger("atrium.telemetry")


class Outbox(Generic[Put, T]):
    """`send` is given up to `batch` items and raises if they did not arrive; it bounds its own time. Items wait for
    others at most `linger_s`.

    `read` makes an item of its JSON. `opening` is called first by the thread that sends, and may raise: what it opens
    is then opened with the first batch.
    """

    def __init__(
        self,
        sink: str,
        send: Callable[[list[T]], None],
        *,
        read: Callable[[Any], T],
        opening: Callable[[], object] | None = None,
        capacity: int,
        batch: int,
        linger_s: float,
        dropped: Callable[[int, str], None],
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._sink = sink
        self._send = send
        self._read = read
        self._opening = opening
        self._capacity = capacity
        self._batch = batch
        self._linger_s = linger_s
        self._dropped = dropped
        self._give_up_s = give_up_s
        self._items: deque[bytes] = deque()
        self._wake, self._opened, self._closing = Event(), Event(), Event()
        self._closed_at = 0.0
        self._failing = False
        self._thread = Thread(target=self._run, name=f"telemetry {sink}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_until_open(self, within_s: float) -> None:
        """So that what a client of the sink loads is there before the service takes requests."""
        self._opened.wait(within_s)

    def put(self, item: Put) -> None:
        """Never waits and never fails: a full queue drops the item, and counts it."""
        if len(self._items) >= self._capacity or self._closing.is_set():
            self._dropped(1, "full" if not self._closing.is_set() else "closed")
            return
        try:
            self._items.append(_written(item))
        except Exception:  # noqa: BLE001  anything may be logged, and whoever logs must not fail by it
            self._dropped(1, "unwritable")
            return
        if len(self._items) == self._batch:
            self._wake.set()

    def end(self, *, within_s: float) -> None:
        """Send what is left, as far as it can be done in time; the rest is counted."""
        self._closed_at = monotonic() + within_s
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(within_s)
        if self._items:
            self._dropped(len(self._items), "closed")
            self._items.clear()

    def __len__(self) -> int:
        return len(self._items)

    def _run(self) -> None:
        self._open()
        while not self._closing.is_set():
            self._wake.wait(self._linger_s)
            self._wake.clear()
            while self._items and self._in_time():
                self._deliver(self._taken())

    def _open(self) -> None:
        try:
            if self._opening is not None:
                self._opening()
        except Exception as error:  # noqa: BLE001  the edge of the thread: an SDK raises what it likes
            self._fails(error)
        finally:
            self._opened.set()

    def _taken(self) -> list[T]:
        return [self._read(_parsed(self._items.popleft())) for _ in range(min(self._batch, len(self._items)))]

    def _in_time(self) -> bool:
        return not self._closing.is_set() or monotonic() < self._closed_at

    def _deliver(self, batch: list[T]) -> None:
        began, pause = monotonic(), FIRST_PAUSE_S
        while True:
            try:
                self._send(batch)
            except Exception as error:  # noqa: BLE001  the edge of the thread: an SDK raises what it likes
                self._fails(error)
            else:
                self._works()
                return
            if self._closing.is_set() or monotonic() + pause - began > self._give_up_s:
                self._dropped(len(batch), "gave_up")
                return
            self._closing.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  to spread who comes again
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _fails(self, error: Exception) -> None:
        if not self._failing:
            log(_logger, logging.WARNING, "a sink is out of reach", sink=self._sink, type=type(error).__name__)
        self._failing = True

    def _works(self) -> None:
        if self._failing:
            log(_logger, logging.INFO, "a sink is back", sink=self._sink)
        self._failing = False


def _written(item: object) -> bytes:
    try:
        return orjson.dumps(item, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half a surrogate pair, or a number of more than 64 bits
        return json.dumps(item, default=_plain).encode()


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # half a surrogate pair
        return json.loads(text)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return list(value) if isinstance(value, set | frozenset) else str(value)
