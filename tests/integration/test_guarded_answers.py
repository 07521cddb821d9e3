"""What of an answer reaches the client, as the tenant's rules say. The imitated engine repeats the question, a word a
token."""

from __future__ import annotations

import time
from typing import Any

import pytest

from support.sse import events
from support.stack import Stack

SECRET = {"id": "r-falcon", "type": "contains", "pattern": "project falcon", "reason": "not public", "stage": "output"}
SPELLINGS = [
    "project falcon",
    "PROJECT  Falcon",
    "pro\u200bject fal\u00adcon",
    "".join(chr(ord(one) + 0xFEE0) if one != " " else one for one in "project falcon"),  # full width
    "pr\u043ej\u0435ct f\u0430lc\u043en",  # Cyrillic o, e and a
    "p\u0301r\u0301o\u0301j\u0301e\u0301c\u0301t\u0301 f\u0301a\u0301l\u0301c\u0301o\u0301n\u0301",
]


def whole(stack: Stack, tenant: str, query: str) -> dict[str, Any]:
    with stack.client(tenant) as client:
        answer = client.post("/chat", json={"query": query})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def streamed(stack: Stack, tenant: str, query: str) -> list[tuple[str, Any]]:
    with (
        stack.client(tenant) as client,
        client.stream("POST", "/chat", json={"query": query, "stream": True}) as answer,
    ):
        return list(events(answer))


def text_of(told: list[tuple[str, Any]]) -> str:
    return "".join(data["text"] for name, data in told if name == "token")


def audited(stack: Stack, tenant: str, within_s: float = 5.0) -> list[dict[str, Any]]:
    """The tenant's `rule.hit` events, once there is one."""
    deadline = time.monotonic() + within_s
    while True:
        with stack.client(tenant) as client:
            items = client.get(f"/tenant/{tenant}/audit").raise_for_status().json()["items"]
        hits = [item for item in items if item["action"] == "rule.hit"]
        if hits or time.monotonic() > deadline:
            return hits
        time.sleep(0.05)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_answer_that_a_rule_refuses_ends_in_a_refusal_however_it_is_spelled(stack: Stack, spelling: str) -> None:
    tenant = stack.new_tenant("guarded", refusal_rules=[SECRET])
    query = f"tokens:60 tell them of {spelling} and of nothing else at all"
    told = streamed(stack, tenant, query)
    names = [name for name, _ in told]
    assert names[0] == "meta"
    assert names[-2:] == ["usage", "refusal"]
    assert dict(told)["refusal"]["rule_id"] == "r-falcon"
    assert dict(told)["refusal"]["stage"] == "output"
    assert "fal" not in text_of(told).lower()
    answer = whole(stack, tenant, query)
    assert answer["refusal"] == dict(told)["refusal"]
    assert "falcon" not in answer["answer"].lower()


def test_a_refused_answer_stops_the_engine_and_is_billed_for_what_was_generated(stack: Stack) -> None:
    tenant = stack.new_tenant("guarded", refusal_rules=[SECRET])
    told = streamed(stack, tenant, "Project Falcon! fault:stall")  # which would go on for ever behind the third word
    asked = stack.imitation.asked[-1]
    assert stack.imitation.wait_for(lambda _: asked.disconnected, 2)
    with stack.client(tenant) as client:
        total = client.get(f"/tenant/{tenant}/usage").json()["total"]
    used = dict(told)["usage"]
    assert total["requests"] == 1
    assert 0 < used["completion_tokens"] <= total["completion_tokens"] <= asked.tokens_sent


def test_what_no_rule_refuses_comes_as_it_was_generated(stack: Stack) -> None:
    rules = [SECRET, {"type": "regex", "pattern": r"\bsk-[a-z0-9]{8,}\b", "reason": "a key", "stage": "output"}]
    plain, guarded = stack.new_tenant("plain"), stack.new_tenant("guarded", refusal_rules=rules)
    query = "tokens:60 the project of a falconer, projected onto falcons: sk-short, naïve Straße, 東京, привет, 🦅"
    expected = text_of(streamed(stack, plain, query))
    told = streamed(stack, guarded, query)
    assert text_of(told) == expected
    assert [name for name, _ in told][-3:] == ["citations", "usage", "done"]
    assert whole(stack, guarded, query)["answer"] == whole(stack, plain, query)["answer"]


def test_with_literals_alone_a_stream_is_not_held_back(stack: Stack) -> None:
    tenant = stack.new_tenant("guarded", refusal_rules=[SECRET])
    told = streamed(stack, tenant, "tokens:30 one two three four five six seven")
    assert len([name for name, _ in told if name == "token"]) == 30


def test_an_answer_is_redacted_by_rules_and_by_detectors(stack: Stack) -> None:
    rule = {"type": "word", "pattern": "falcon", "reason": "name", "stage": "both", "action": "redact"}
    tenant = stack.new_tenant("guarded", refusal_rules=[rule], redact={"output": ["email", "card"]})
    query = "tokens:14 ask alice@example.com of the falcon card 4111 1111 1111 1111 or the falconer"
    for text in (text_of(streamed(stack, tenant, query)), whole(stack, tenant, query)["answer"]):
        assert "[EMAIL]" in text
        assert "[CARD]" in text
        assert "[REDACTED]" in text  # on the way in already: the rule is of both stages
        assert "falconer" in text
        assert "alice" not in text
        assert "4111" not in text
        assert "falcon " not in text


def test_what_no_answer_may_say_no_citation_quotes(stack: Stack) -> None:
    tenant = stack.new_tenant("guarded")
    with stack.client(tenant) as client:
        document = {"title": "Plans", "text": "The copper oil can of project falcon costs 31.50 euros."}
        assert client.post(f"/tenant/{tenant}/documents", json=document).status_code == 201
        ask = {"query": "tokens:2 [1] What does the copper oil can cost?"}
        assert "falcon" in client.post("/chat", json=ask).json()["citations"][0]["snippet"]
        client.patch(f"/tenant/{tenant}/config", json={"refusal_rules": [SECRET]}).raise_for_status()
        citation = client.post("/chat", json=ask).json()["citations"][0]
    assert citation["snippet"] == "[REDACTED]"
    assert citation["title"] == "Plans"


def test_a_hit_is_in_the_audit_log_by_the_rules_id_and_without_a_text(stack: Stack) -> None:
    tenant = stack.new_tenant("guarded", refusal_rules=[SECRET])
    whole(stack, tenant, "tokens:20 all of project falcon")
    (hit,) = audited(stack, tenant)
    assert "r-falcon" in str(hit)
    assert "project falcon" not in str(hit)


def test_rules_of_input_and_of_output_keep_to_their_stage(stack: Stack) -> None:
    tenant = stack.new_tenant("guarded", refusal_rules=[SECRET | {"stage": "input"}])
    assert whole(stack, tenant, "tokens:20 all of project falcon")["refusal"]["stage"] == "input"
    tenant = stack.new_tenant("guarded", refusal_rules=[SECRET | {"stage": "both"}])
    assert whole(stack, tenant, "tokens:20 all of project falcon")["refusal"]["stage"] == "input"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_repeated_passes_the_rules_of_today_for_answers_too(stack: Stack, *, stream: bool) -> None:
    tenant, body = stack.new_tenant("guarded"), {"query": "tokens:20 all of project falcon to bob@example.com"}
    mark = {"idempotency-key": "k1"}
    with stack.client(tenant) as client:
        first = client.post("/chat", json=body, headers=mark).json()
        assert "project falcon" in first["answer"]
        client.patch(f"/tenant/{tenant}/config", json={"redact": {"output": ["email"]}}).raise_for_status()
        redacted = client.post("/chat", json=body | {"stream": stream}, headers=mark)
        assert redacted.headers["idempotency-replayed"] == "true"
        assert "[EMAIL]" in redacted.text
        assert "bob@" not in redacted.text
        client.patch(f"/tenant/{tenant}/config", json={"refusal_rules": [SECRET]}).raise_for_status()
        refused = client.post("/chat", json=body | {"stream": stream}, headers=mark)
        assert refused.headers["idempotency-replayed"] == "true"
        assert "r-falcon" in refused.text
        assert "falcon t" not in refused.text
        total = client.get(f"/tenant/{tenant}/usage").json()["total"]
    assert total["requests"] == 1
    (hit,) = audited(stack, tenant)
    assert hit["resource"] == "rule/r-falcon"


def test_a_rule_that_redacts_is_in_the_audit_log_once_a_request_and_stage(stack: Stack) -> None:
    rules = [
        {"id": "r-name", "type": "word", "pattern": "falcon", "reason": "name", "action": "redact"},
        {
            "id": "r-road",
            "type": "regex",
            "pattern": "lane [0-9]+",
            "reason": "a",
            "stage": "output",
            "action": "redact",
        },
    ]
    tenant = stack.new_tenant("guarded", refusal_rules=rules)
    whole(stack, tenant, "tokens:40 the falcon, a falcon and a falcon at lane 4711 or lane 12")
    deadline = time.monotonic() + 5
    while len(hits := audited(stack, tenant)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    told = {(hit["resource"], hit["details"]["action"], hit["details"]["stage"]) for hit in hits}
    assert told == {("rule/r-name", "redact", "input"), ("rule/r-road", "redact", "output")}
    assert len(hits) == 2
    assert "4711" not in str(hits)


def test_who_may_not_write_documents_sees_no_more_of_them_than_an_answer_would_say(stack: Stack) -> None:
    tenant = stack.new_tenant("guarded", refusal_rules=[SECRET], redact={"output": ["email"]})
    with stack.client(tenant) as admin:
        text = "The copper oil can of project falcon.\n\n# Tin\n\nAsk alice@example.com for the tin can."
        metadata = {"source": "project falcon", "of": {"to": ["alice@example.com", 7]}}
        document = {"title": "Plans", "text": text, "document_id": "plans", "metadata": metadata}
        assert admin.post(f"/tenant/{tenant}/documents", json=document).status_code == 201
        key = admin.post(f"/tenant/{tenant}/keys", json={"label": "user", "role": "tenant_user"}).json()["key"]
        told = {"admin": _shown(admin, tenant)}
    with stack.client(headers={"authorization": f"Bearer {key}"}) as user:
        told["user"] = _shown(user, tenant)
    assert "falcon" in told["admin"]
    assert "alice@example.com" in told["admin"]
    assert "falcon" not in told["user"]
    assert "alice" not in told["user"]
    assert "[REDACTED]" in told["user"]
    assert "Plans" in told["user"]


def _shown(client: Any, tenant: str) -> str:
    found = client.post(f"/tenant/{tenant}/search", json={"query": "copper oil can or tin", "k": 5}).raise_for_status()
    chunks = client.get(f"/tenant/{tenant}/documents/plans/chunks").raise_for_status()
    documents = client.get(f"/tenant/{tenant}/documents").raise_for_status()
    one = client.get(f"/tenant/{tenant}/documents/plans").raise_for_status()
    assert documents.json()["items"] == [one.json()]
    return str([answer.json() for answer in (found, chunks, one)])
