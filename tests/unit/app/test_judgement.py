"""The judgement over the built-in routes, alone: what is known, what it says, and what it does without."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from app.adapters.memory import MemoryEmbedder, word_vector
from app.domain.judgement import MAX_CHARS, Judgement, grams_of
from app.domain.known_questions import KNOWN_QUESTIONS
from app.domain.routing import choose_route
from app.nodes.classify import Classify
from app.nodes.judgements import PORTION, Judgements, is_judged
from app.ports import Caller, Embedded
from contracts.errors import UpstreamError
from contracts.routes import BUILT_IN_ROUTES, GENERAL
from servicekit.tokens import utc_now
from support.turns import T1, T2, a_context, a_request, a_route, a_runtime

TEXTS = [text for texts in KNOWN_QUESTIONS.values() for text in texts]
FEW = {"PRICES": ("what does a bicycle cost", "price of a lamp"), GENERAL: ("who are you", "tell me a story")}


def few() -> Judgement:
    rows = np.stack([word_vector(text) for texts in FEW.values() for text in texts])
    return Judgement.of(FEW, rows, {"PRICES": FEW["PRICES"][:1]})


def scores(query: str, threshold: float = 0.28) -> dict[str, float]:
    return few().scores(query, word_vector(query), threshold=threshold)


def judged(query: str) -> str:
    found = scores(query)
    return max(found, key=lambda name: found[name])


def test_each_built_in_route_has_known_questions_and_none_is_known_twice() -> None:
    assert set(KNOWN_QUESTIONS) == {route.name for route in BUILT_IN_ROUTES}
    assert min(len(texts) for texts in KNOWN_QUESTIONS.values()) >= 200
    assert len(set(TEXTS)) == len(TEXTS)
    assert all(text == text.strip() and len(text) <= MAX_CHARS for text in TEXTS)


def test_every_example_of_a_built_in_route_is_known_as_its_question() -> None:
    for route in BUILT_IN_ROUTES:
        assert set(route.examples) <= set(KNOWN_QUESTIONS[route.name])


def test_a_question_goes_to_the_route_whose_questions_it_is_like() -> None:
    assert judged("what does a lamp cost") == "PRICES"
    assert judged("tell me who you are") == GENERAL


def test_a_typing_error_is_seen_through_by_the_letters() -> None:
    assert judged("prise bycicle") == "PRICES"


def test_one_route_alone_can_be_chosen_and_the_others_are_below_nothing() -> None:
    found = scores("price of a lamp")
    assert found["PRICES"] > 0 > found[GENERAL]


def test_a_judged_routes_score_is_its_examples_and_at_least_the_threshold_if_any_of_its_questions_is_as_near() -> None:
    assert scores("price of a lamp", threshold=0.0)["PRICES"] < 0.28
    assert scores("price of a lamp", threshold=0.28)["PRICES"] == 0.28
    assert scores("price of a lamp", threshold=0.99)["PRICES"] < 0.99


def test_the_same_question_is_judged_the_same_by_two_judgements() -> None:
    assert scores("is a lamp a story") == scores("is a lamp a story")


def test_letters_are_compared_without_case_and_accents_within_words_and_only_so_far() -> None:
    assert grams_of("Où") == grams_of("ou") == {" ou", "ou ", " ou "}
    assert grams_of("!?") == frozenset()
    assert grams_of("x" * MAX_CHARS + " more words") == grams_of("x" * MAX_CHARS)


def test_a_question_without_letters_is_judged_too() -> None:
    assert set(scores("?!")) == set(FEW)


def test_a_tenants_own_examples_of_a_built_in_name_speak_for_themselves() -> None:
    assert [is_judged(route) for route in BUILT_IN_ROUTES] == [False, True, True]
    assert not is_judged(a_route("PRICE_COMPARE", "where is it cheapest"))
    assert is_judged(BUILT_IN_ROUTES[1].model_copy(update={"system_prompt": "Another."}))


async def test_the_known_questions_are_embedded_once_for_all_who_ask_at_once() -> None:
    embedder = MemoryEmbedder()
    judgements = Judgements(embedder)
    patient = utc_now() + timedelta(minutes=10)  # on a busy machine the judgement takes seconds to make
    callers = [a_runtime(a_context(tenant, deadline=patient)).context.caller for tenant in (T1, T2, T1)]
    found = await asyncio.gather(*(judgements.of(caller, "words") for caller in callers))
    assert found[0] is not None
    assert found[0] is found[1] is found[2]
    assert [text for _, texts in embedder.calls for text in texts] == TEXTS


class Interrupted(MemoryEmbedder):
    """Has time for one call."""

    async def embed(self, caller: Caller, texts: Sequence[str]) -> Embedded:
        found = await super().embed(caller, texts)
        self.fails_with = UpstreamError("too slow")
        return found


async def test_who_asks_next_goes_on_where_the_time_ended() -> None:
    embedder = Interrupted()
    judgements, caller = Judgements(embedder), a_runtime().context.caller
    assert await judgements.of(caller, "words") is None
    for _ in range(len(TEXTS) // PORTION):
        embedder.fails_with = None
        made = await judgements.of(caller, "words")
    assert made is not None
    asked = [text for _, texts in embedder.calls for text in texts]
    assert list(dict.fromkeys(asked)) == TEXTS


async def test_another_model_is_judged_by_its_own_vectors() -> None:
    embedder = MemoryEmbedder()
    judgements, caller = Judgements(embedder), a_runtime().context.caller
    first = await judgements.of(caller, "words")
    assert await judgements.of(caller, "other") is None, "its vectors cannot be had"
    embedder.model = "other"
    second = await judgements.of(caller, "other")
    assert second is not None
    assert second is not first


class WithoutTheKnown(MemoryEmbedder):
    """A service that has no time for hundreds of texts."""

    async def embed(self, caller: Caller, texts: Sequence[str]) -> Embedded:
        if set(texts) <= set(TEXTS) and len(texts) == PORTION:
            raise UpstreamError("too slow")
        return await super().embed(caller, texts)


async def test_while_there_is_no_judgement_a_turn_goes_by_the_routes_examples() -> None:
    runtime = a_runtime(request=a_request("What is the price of this laptop?"))
    state = await Classify(WithoutTheKnown(), threshold=0.28)({}, runtime)
    assert state["route"].name == "PRICE_COMPARE"
    assert not runtime.context.progress.degraded


def test_a_tenants_own_route_is_chosen_beside_a_judgement() -> None:
    travel = a_route("TRAVEL", "book a flight")
    found = {"TRAVEL": 0.6, "PRICE_COMPARE": 0.5, "DIET_NUTRITION": -1.1}
    assert choose_route((travel, *BUILT_IN_ROUTES), found, threshold=0.28).route is travel


async def test_kept_vectors_of_the_model_are_judged_by_before_anybody_asks_and_those_of_another_never() -> None:
    embedder, caller = MemoryEmbedder(), a_runtime().context.caller
    judgements = Judgements(embedder)
    await judgements.warm(Embedded("words", [word_vector(text) for text in TEXTS]))
    assert await judgements.of(caller, "words") is not None
    assert not embedder.calls
    embedder.model = "other"
    assert await judgements.of(caller, "other") is not None
    assert [text for _, texts in embedder.calls for text in texts] == TEXTS
