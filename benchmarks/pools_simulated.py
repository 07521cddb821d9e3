"""What a choice of replica can find of its conversations' prefixes, by the number of replicas: a simulation.

Two engines are what two cores run, and with two, round robin is right every other time. Here the orchestrator's own
`choose` and round robin are asked about replicas that are not there: as many as one says, each with a cache of so many
tokens that forgets the conversations that it has not seen for longest, and sixteen requests at a time on average.
Conversations have four turns and begin with a document; four times as many are under way as there are requests, and who
has the next turn is left to chance. A cache's share is what its replica's part of the conversations under way takes.
Shares are found of what one replica with room for everything would find.

    PYTHONPATH=src:tests python -m benchmarks.pools_simulated
"""

from __future__ import annotations

import heapq
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from app.domain.choice import Load, choose

TURNS, OPENING, A_TURN = 4, 560, 110
"""Turns of a conversation, and tokens: of the document, and of each question with its answer."""
A_REPLICA = 16
"""Requests at a time, on average."""
CONVERSATIONS = 400
"""For each replica; of which four times as many are under way as there are requests."""

Choose = Callable[[str, Sequence[Load]], str]


@dataclass
class Replica:
    """`room`: tokens of its cache."""

    room: int
    requests: int = 0
    known: OrderedDict[int, int] = field(default_factory=OrderedDict)

    def find(self, conversation: int, prompt: int) -> int:
        """Tokens of the prompt that are there; afterwards all of it is, and what was not seen for longest is not."""
        found = self.known.pop(conversation, 0)
        self.known[conversation] = prompt
        while sum(self.known.values()) > self.room:
            self.known.popitem(last=False)
        return found


@dataclass(frozen=True)
class Found:
    hits: int
    all_there_is: int
    over_mean: float
    """The most requests that a replica got, of the mean."""
    peak: float
    """p99 of the most that a replica had at a moment, of the mean."""


def round_robin() -> Choose:
    turn = 0

    def next_one(_key: str, loads: Sequence[Load]) -> str:
        nonlocal turn
        turn += 1
        return loads[turn % len(loads)].url

    return next_one


def atrium(key: str, loads: Sequence[Load]) -> str:
    found = choose(key, loads)
    assert found is not None
    return found


def simulate(choice: Choose, replicas: int, room: int, seed: str) -> Found:
    chance = random.Random(seed)
    engines = {str(number): Replica(room) for number in range(replicas)}
    begun, waiting, running = 0, dict[int, int](), list[tuple[float, int, int, str]]()
    hits, most, now = 0, 0, 0.0
    got, peaks = dict.fromkeys(engines, 0), list[float]()
    at_once = A_REPLICA * replicas
    while begun < 4 * at_once:
        begun += 1
        waiting[begun] = 0
    while waiting or running:
        while waiting and len(running) < at_once:
            conversation = chance.choice(list(waiting))
            turn = waiting.pop(conversation)
            url = choice(f"t/{conversation}", [Load(name, one.requests) for name, one in engines.items()])
            engine = engines[url]
            hits += engine.find(conversation, OPENING + A_TURN * (turn + 1))
            most += OPENING + A_TURN * turn if turn else 0
            engine.requests += 1
            got[url] += 1
            heapq.heappush(running, (now + chance.expovariate(1.0), conversation, turn + 1, url))
            if len(running) == at_once:
                loads = [one.requests for one in engines.values()]
                peaks.append(max(loads) * replicas / sum(loads))
        now, conversation, turns, url = heapq.heappop(running)
        engines[url].requests -= 1
        if turns < TURNS:
            waiting[conversation] = turns
        elif begun < CONVERSATIONS * replicas:
            begun += 1
            waiting[begun] = 0
    return Found(hits, most, max(got.values()) * replicas / sum(got.values()), sorted(peaks)[int(0.99 * len(peaks))])


def main() -> None:
    table = Table("replicas", "cache", "round robin", "Atrium", "x", "requests over the mean", "load over it, p99")
    under_way = 4 * A_REPLICA * (OPENING + A_TURN * TURNS)
    for replicas in (2, 3, 4, 8, 16):
        for share in (0.6, 1.0, 4.0):
            room = int(under_way * share)
            one = simulate(round_robin(), replicas, room, "a")
            two = simulate(atrium, replicas, room, "a")
            table.add_row(
                str(replicas),
                f"{share:g} of its share",
                f"{one.hits / one.all_there_is:.0%}",
                f"{two.hits / two.all_there_is:.0%}",
                f"{two.hits / one.hits:.2f}",
                f"{two.over_mean:.2f}",
                f"{two.peak:.2f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
