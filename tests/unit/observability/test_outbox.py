"""Whatever a sink does, who puts never waits, memory has a bound, and each item arrives or is counted as dropped."""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass
from threading import Event
from time import perf_counter

import pytest

from observability.outbox import Outbox
from support.telling import told


class Sink:
    def __init__(self) -> None:
        self.got: list[int] = []
        self.tries = 0
        self.failures = 0
        self.open = Event()
        self.open.set()
        self.called, self.arrived = Event(), Event()

    def send(self, items: list[int]) -> None:
        self.tries += 1
        self.called.set()
        self.open.wait()
        if self.tries <= self.failures:
            raise OSError("out of reach")
        self.got += items
        self.arrived.set()


@dataclass(frozen=True)
class Waiting:
    name: str
    found: set[int]


class Box:
    def __init__(self, sink: Sink, *, capacity: int = 100, batch: int = 10, give_up_s: float = 60.0) -> None:
        self.dropped: Counter[str] = Counter()
        self.outbox = Outbox[int, int](
            "test",
            sink.send,
            read=int,
            capacity=capacity,
            batch=batch,
            linger_s=0.01,
            dropped=lambda number, reason: self.dropped.update({reason: number}),
            give_up_s=give_up_s,
        )
        self.outbox.start()


def test_what_is_put_arrives_in_order_in_batches() -> None:
    sink = Sink()
    box = Box(sink)
    for item in range(35):
        box.outbox.put(item)
    box.outbox.end(within_s=5)
    assert sink.got == list(range(35))
    assert not box.dropped
    assert sink.tries >= 4


def test_a_sink_that_hangs_costs_who_puts_nothing_and_the_rest_is_dropped_and_counted() -> None:
    sink = Sink()
    sink.open.clear()
    box = Box(sink, capacity=50)
    box.outbox.put(-1)
    assert sink.called.wait(5)
    slowest = 0.0
    for item in range(1_000):
        began = perf_counter()
        box.outbox.put(item)
        slowest = max(slowest, perf_counter() - began)
    assert len(box.outbox) == 50
    assert box.dropped == {"full": 950}
    assert slowest < 1  # a sink's time-out would be more
    sink.open.set()
    box.outbox.end(within_s=5)
    assert sink.got == [-1, *range(50)]


def test_a_sink_that_comes_back_gets_what_has_waited(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    sink.failures = 1
    box = Box(sink)
    with caplog.at_level("INFO"):
        box.outbox.put(1)
        assert sink.arrived.wait(10)
        box.outbox.end(within_s=5)
    assert (sink.got, sink.tries) == ([1], 2)
    assert not box.dropped
    assert [record.message for record in told(caplog, "atrium.telemetry")] == [
        "a sink is out of reach",
        "a sink is back",
    ]


def test_a_batch_that_does_not_arrive_in_time_is_given_up() -> None:
    sink = Sink()
    sink.failures = 1_000
    box = Box(sink, give_up_s=0.0)
    for item in range(10):
        box.outbox.put(item)
    box.outbox.end(within_s=5)
    assert (sink.got, box.dropped["gave_up"] + box.dropped["closed"]) == ([], 10)


def test_closing_does_not_wait_for_a_sink_that_hangs_and_what_is_left_is_counted() -> None:
    sink = Sink()
    sink.open.clear()
    box = Box(sink)
    box.outbox.put(-1)
    assert sink.called.wait(5)
    for item in range(5):
        box.outbox.put(item)
    box.outbox.end(within_s=0.05)
    assert box.dropped["closed"] == 5
    box.outbox.put(9)
    assert box.dropped["closed"] == 6
    sink.open.set()


def test_nothing_that_was_put_is_kept_alive_for_the_garbage_collector_to_walk_through() -> None:
    outbox = Outbox[Waiting, object](
        "test", lambda _: None, read=lambda found: found, capacity=100, batch=10, linger_s=9, dropped=lambda *_: None
    )
    put = [Waiting(str(number), {number}) for number in range(100)]
    for one in put:
        outbox.put(one)
    assert len(outbox) == 100
    kept = [weakref.ref(one) for one in put]
    del one
    put.clear()
    assert {ref() for ref in kept} == {None}


@pytest.mark.parametrize(
    ("item", "arrives"),
    [
        ({"text": "half \ud83d a pair"}, {"text": "half \ud83d a pair"}),
        ({"number": 1 << 80}, {"number": 1 << 80}),
        ({1: {"a", "b"} - {"b"}}, {"1": ["a"]}),
        ({"error": ValueError("why")}, {"error": "why"}),
        (Waiting("\udc80", {1 << 70}), {"name": "\udc80", "found": [1 << 70]}),
    ],
)
def test_whatever_is_put_arrives_or_what_can_be_said_of_it(item: object, arrives: object) -> None:
    got: list[object] = []
    outbox = Outbox[object, object](
        "test", got.extend, read=lambda found: found, capacity=10, batch=1, linger_s=0.01, dropped=lambda *_: None
    )
    outbox.start()
    outbox.put(item)
    outbox.end(within_s=5)
    assert got == [arrives]


def test_what_cannot_be_written_down_is_counted_and_raises_nothing() -> None:
    dropped: Counter[str] = Counter()
    outbox = Outbox[object, object](
        "test",
        lambda _: None,
        read=lambda found: found,
        capacity=10,
        batch=1,
        linger_s=0.01,
        dropped=lambda number, reason: dropped.update({reason: number}),
    )
    in_itself: list[object] = []
    in_itself.append(in_itself)
    outbox.put(in_itself)
    assert (len(outbox), dropped) == (0, {"unwritable": 1})


def test_a_sink_whose_client_cannot_be_opened_does_not_keep_a_service_from_starting() -> None:
    sink, tries = Sink(), Counter[str]()

    def opening() -> None:
        tries["opened"] += 1
        raise OSError("no credentials")

    outbox = Outbox[int, int](
        "test", sink.send, read=int, opening=opening, capacity=9, batch=1, linger_s=0.01, dropped=lambda *_: None
    )
    outbox.start()
    outbox.wait_until_open(5)
    assert tries == {"opened": 1}
    outbox.put(1)
    assert sink.arrived.wait(5)
    outbox.end(within_s=5)
