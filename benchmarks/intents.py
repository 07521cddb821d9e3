"""Which route a question takes: accuracy, abstention and latency on labelled questions. `make bench-intents`.

Routes, examples and rule are the orchestrator's own; vectors are those of the service's model. *Abstention* is GENERAL:
of questions that belong to a route it is a loss (`missed`), of the others it is right, and what is taken there `false`.
The threshold is looked at over the calibration half alone; the held-out half is measured with the one in force.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from app.domain.routing import choose_route, examples_of
from app.nodes.classify import scores_of
from app.ports import Vector
from app.settings import Settings
from benchmarks.labelled_intents import CALIBRATION, HELD_OUT, Labelled
from contracts.routes import BUILT_IN_ROUTES, GENERAL
from rag.adapters.sentence_transformer import ReferenceModel
from rag.settings import bulk_threads, bundled_model

THRESHOLD: float = Settings.model_fields["route_threshold"].default


@dataclass(frozen=True)
class Decided:
    labelled: Labelled
    route: str
    decide_us: float

    @property
    def is_right(self) -> bool:
        return self.route == self.labelled.route


class Router:
    """The decision as a turn makes it, over vectors that are there."""

    def __init__(self, model: ReferenceModel) -> None:
        queries = [one.query for one in (*CALIBRATION, *HELD_OUT)]
        self._queries = dict(zip(queries, np.asarray(model.encode(queries, True), np.float32), strict=True))
        self._rows: Mapping[str, Vector] = {
            route.name: np.asarray(model.encode(list(texts), True), np.float32)
            for route in BUILT_IN_ROUTES
            if (texts := examples_of(route))
        }
        self._counter: Mapping[str, Vector] = {
            route.name: np.asarray(model.encode(list(route.counter_examples), True), np.float32)
            for route in BUILT_IN_ROUTES
            if route.counter_examples
        }

    def decided(self, labelled: Sequence[Labelled], threshold: float) -> list[Decided]:
        found = []
        for one in labelled:
            vector = self._queries[one.query]
            began = time.perf_counter()
            scores = scores_of(self._rows, self._counter, vector)
            choice = choose_route(BUILT_IN_ROUTES, scores, threshold=threshold)
            found.append(Decided(one, choice.route.name, (time.perf_counter() - began) * 1e6))
        return found


def accuracy(decided: Iterable[Decided]) -> float:
    return statistics.mean(one.is_right for one in decided)


def report(console: Console, name: str, decided: Sequence[Decided]) -> None:
    table = Table("kind", "questions", "accuracy", "missed", "false", "wrong route", title=name)
    for kind in [*dict.fromkeys(one.labelled.kind for one in decided), ""]:
        of_kind = [one for one in decided if not kind or one.labelled.kind == kind]
        missed = sum(one.route == GENERAL and not one.is_right for one in of_kind)
        taken = sum(one.labelled.route == GENERAL and not one.is_right for one in of_kind)
        wrong = sum(not one.is_right for one in of_kind) - missed - taken
        counts = (str(count) for count in (missed, taken, wrong))
        table.add_row(kind or "all", str(len(of_kind)), f"{accuracy(of_kind):.3f}", *counts)
    console.print(table)
    for one in decided:
        if not one.is_right:
            console.print(f"  {one.labelled.kind}: {one.labelled.query} → {one.route}", highlight=False)


def main() -> None:
    console = Console()
    model = ReferenceModel(bundled_model(), bulk_threads=bulk_threads())
    router = Router(model)
    sweep = Table("threshold", "calibration", title="Accuracy by threshold, on the calibration half")
    for hundredths in range(20, 42, 2):
        sweep.add_row(f"{hundredths / 100:.2f}", f"{accuracy(router.decided(CALIBRATION, hundredths / 100)):.3f}")
    console.print(sweep)
    halves = {"calibration half": CALIBRATION, "held-out half": HELD_OUT}
    decided = {name: router.decided(labelled, THRESHOLD) for name, labelled in halves.items()}
    for name, of_half in decided.items():
        report(console, f"{name}, threshold {THRESHOLD}", of_half)
    everything = [one for of_half in decided.values() for one in of_half]
    took = []
    for one in everything[::5]:
        began = time.perf_counter()
        model.encode([one.labelled.query], True)
        took.append((time.perf_counter() - began) * 1e3)
    console.print(
        f"a decision takes {statistics.median(one.decide_us for one in everything):.0f} µs, the vector before it "
        f"{statistics.median(took):.1f} ms (by the reference model in torch; the service's int8 export is faster)"
    )


if __name__ == "__main__":
    main()
