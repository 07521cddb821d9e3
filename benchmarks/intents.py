"""Which route a question takes: accuracy, abstention and latency on labelled questions. `make bench-intents`.

Routes, examples and rule are the orchestrator's own; vectors are those of the service's model, and of the known
questions those kept with the code. *Abstention* is GENERAL: of questions that belong to a route it is a loss
(`missed`), of the others it is right, and what is taken there `false`. What decides was chosen by
`labelled_intents.py`, both its halves; `held_out_intents.py` is only measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from app.adapters.known_vectors import kept_vectors
from app.domain.judgement import Judgement
from app.domain.known_questions import KNOWN_QUESTIONS
from app.domain.routing import choose_route, examples_of
from app.nodes.likeness import Likeness
from app.ports import Vector
from app.settings import Settings
from benchmarks.labelled_intents import CALIBRATION, HELD_OUT
from contracts.routes import BUILT_IN_ROUTES, GENERAL
from rag.adapters.sentence_transformer import ReferenceModel
from rag.settings import bulk_threads, bundled_model
from support.held_out_intents import HELD_OUT_FRESH, Labelled

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

    def __init__(self, model: ReferenceModel, queries: Sequence[str]) -> None:
        def embedded(texts: Sequence[str]) -> Vector:
            return np.asarray(model.encode(list(texts), True), np.float32)

        compared = [route for route in BUILT_IN_ROUTES if examples_of(route)]
        texts = [text for route in compared for text in (*route.examples, *route.counter_examples)]
        vectors = dict(zip(queries, embedded(queries), strict=True))
        kept = kept_vectors()
        assert kept is not None, "make known-vectors"
        began = time.process_time()
        examples = {route.name: route.examples for route in compared}
        judgement = Judgement.of(KNOWN_QUESTIONS, np.stack(kept.vectors), examples)
        self.made_s = time.process_time() - began
        self.judged = Likeness("", vectors, {}, {}, judgement, frozenset(route.name for route in compared))
        self.by_examples = Likeness.of(compared, "", vectors | dict(zip(texts, embedded(texts), strict=True)))

    def decided(self, labelled: Sequence[Labelled], threshold: float, likeness: Likeness) -> list[Decided]:
        found = []
        for one in labelled:
            began = time.perf_counter()
            scores = likeness.scores(one.query, threshold=threshold)
            choice = choose_route(BUILT_IN_ROUTES, scores, threshold=threshold)
            found.append(Decided(one, choice.route.name, (time.perf_counter() - began) * 1e6))
        return found


def accuracy(decided: Iterable[Decided]) -> float:
    return statistics.mean(one.is_right for one in decided)


def report(console: Console, name: str, decided: Sequence[Decided]) -> None:
    table = Table("kind or route", "questions", "accuracy", "missed", "false", "wrong route", title=name)
    groups = {kind: [one for one in decided if one.labelled.kind == kind] for kind in _in_order(decided, "kind")}
    groups |= {route: [one for one in decided if one.labelled.route == route] for route in _in_order(decided, "route")}
    for group, of_group in {**groups, "all": decided}.items():
        missed = sum(one.route == GENERAL and not one.is_right for one in of_group)
        taken = sum(one.labelled.route == GENERAL and not one.is_right for one in of_group)
        wrong = sum(not one.is_right for one in of_group) - missed - taken
        counts = (str(count) for count in (missed, taken, wrong))
        table.add_row(group, str(len(of_group)), f"{accuracy(of_group):.3f}", *counts)
    console.print(table)
    for one in decided:
        if not one.is_right:
            console.print(f"  {one.labelled.kind}: {one.labelled.query} → {one.route}", highlight=False)


def _in_order(decided: Sequence[Decided], of: str) -> list[str]:
    return list(dict.fromkeys(getattr(one.labelled, of) for one in decided))


def main() -> None:
    console = Console()
    model = ReferenceModel(bundled_model(), bulk_threads=bulk_threads())
    development = (*CALIBRATION, *HELD_OUT)
    queries = [one.query for one in (*development, *HELD_OUT_FRESH)]
    router = Router(model, queries)
    sweep = Table("threshold", "development", title="Accuracy by threshold, on the development questions")
    for hundredths in range(20, 42, 2):
        of_all = router.decided(development, hundredths / 100, router.judged)
        sweep.add_row(f"{hundredths / 100:.2f}", f"{accuracy(of_all):.3f}")
    console.print(sweep)
    report(console, f"development, threshold {THRESHOLD}", router.decided(development, THRESHOLD, router.judged))
    held_out = router.decided(HELD_OUT_FRESH, THRESHOLD, router.judged)
    report(console, f"held out, threshold {THRESHOLD}", held_out)
    by_examples = router.decided(HELD_OUT_FRESH, THRESHOLD, router.by_examples)
    console.print(f"held out, by the routes' examples alone: {accuracy(by_examples):.3f}")
    took = []
    for query in queries[::10]:
        began = time.perf_counter()
        model.encode([query], True)
        took.append((time.perf_counter() - began) * 1e3)
    console.print(
        f"a decision takes {statistics.median(one.decide_us for one in held_out):.0f} µs "
        f"({statistics.median(one.decide_us for one in by_examples):.0f} by examples alone), the vector before it "
        f"{statistics.median(took):.1f} ms (by the reference model in torch; the service's int8 export is faster); "
        f"the judgement is made once, in {router.made_s * 1e3:.0f} ms of CPU and the vectors of "
        f"{sum(map(len, KNOWN_QUESTIONS.values()))} questions"
    )


if __name__ == "__main__":
    main()
