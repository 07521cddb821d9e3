"""A tenant that wants nothing invented: a question far from all its documents, through the whole stack."""

from __future__ import annotations

from typing import Any

import pytest

from support.openai_clients import openai_client
from support.sse import events
from support.stack import Stack

NOTE = {"title": "Harbour", "text": "The harbour office opens at seven. Boats over twelve metres need a permit."}
FAR = "How many teeth does a crocodile grow in its lifetime?"
NEAR = "When does the harbour office open?"
SAID = "I found nothing about this in the documents."


def a_tenant(stack: Stack, **config: Any) -> str:
    tenant = stack.new_tenant("nothing", **config)
    with stack.client(tenant) as client:
        assert client.post(f"/tenant/{tenant}/documents", json=NOTE).status_code == 201
    return tenant


@pytest.fixture(scope="module")
def tenant(stack: Stack) -> str:
    return a_tenant(stack, when_nothing_found="say_so")


def test_a_question_far_from_all_documents_is_answered_so_and_no_engine_is_asked(stack: Stack, tenant: str) -> None:
    before = stack.engine_requests()
    with stack.client(tenant) as client:
        told = client.post("/chat", json={"query": FAR, "locale": "en-US"}).raise_for_status().json()
    assert (told["answer"], told["citations"], told["sources"]) == (SAID, [], [])
    assert (told["refusal"], told["degraded"]) == (None, False)
    assert (told["usage"]["total_tokens"], told["cost_usd_estimate"]) == (0, 0)
    assert stack.engine_requests() == before


def test_a_question_that_the_documents_answer_is_the_engines(stack: Stack, tenant: str) -> None:
    before = stack.engine_requests()
    with stack.client(tenant) as client:
        told = client.post("/chat", json={"query": NEAR, "locale": "en-US"}).raise_for_status().json()
    assert told["citations"]
    assert stack.engine_requests() == before + 1


def test_a_stream_says_so_too_in_the_askers_language(stack: Stack, tenant: str) -> None:
    body = {"query": FAR, "locale": "de-DE", "stream": True}
    with stack.client(tenant) as client, client.stream("POST", "/chat", json=body) as answer:
        told = list(events(answer))
    assert [name for name, _ in told] == ["meta", "token", "citations", "usage", "done"]
    assert told[1][1]["text"] == "Dazu habe ich in den Dokumenten nichts gefunden."


def test_on_openais_door_it_is_said_where_the_documents_are_asked_and_only_there(stack: Stack, tenant: str) -> None:
    messages: Any = [{"role": "user", "content": FAR}]
    before = stack.engine_requests()
    with openai_client(stack, tenant) as client:
        told = client.chat.completions.create(
            model="atrium", messages=messages, extra_body={"atrium": {"retrieve": True, "locale": "en-US"}}
        )
        assert told.choices[0].message.content == SAID
        assert stack.engine_requests() == before
        client.chat.completions.create(model="atrium", messages=messages, extra_body={"atrium": {"retrieve": False}})
    assert stack.engine_requests() == before + 1


def test_without_the_setting_the_engine_answers_what_it_knows(stack: Stack) -> None:
    tenant = a_tenant(stack)
    before = stack.engine_requests()
    with stack.client(tenant) as client:
        told = client.post("/chat", json={"query": FAR}).raise_for_status().json()
    assert told["citations"] == []
    assert stack.engine_requests() == before + 1


def test_a_tenants_own_threshold_says_what_is_far(stack: Stack) -> None:
    strict = a_tenant(stack, when_nothing_found="say_so", min_passage_score=0.99)
    with stack.client(strict) as client:
        told = client.post("/chat", json={"query": NEAR, "locale": "en-US"}).raise_for_status().json()
    assert told["answer"] == SAID
