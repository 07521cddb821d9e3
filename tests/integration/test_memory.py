"""Conversations through the whole stack: real stores and sockets, an imitated engine that shows what it was asked."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from support.own_valkey import OwnValkey
from support.server import served
from support.sse import events
from support.stack import Stack, another_router

WITHIN_S = 10.0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def ask(client: httpx.Client, query: str, session: str | None = "s", **body: Any) -> httpx.Response:
    named = {} if session is None else {"session_id": session}
    return client.post("/chat", json={"query": query, "user_id": "u", **named, **body}).raise_for_status()


def prompt(stack: Stack) -> list[tuple[str, str]]:
    """What the engine was asked last, without the instruction."""
    return [(message["role"], message["content"]) for message in stack.last_engine_body()["messages"][1:]]


def turns(client: httpx.Client, tenant: str, session: str = "s", user: str | None = "u") -> list[dict[str, Any]]:
    params = {} if user is None else {"user_id": user}
    answer = client.get(f"/tenant/{tenant}/sessions/{session}", params=params)
    if answer.status_code == 404:
        return []
    found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return found


def streamed(client: httpx.Client, query: str, *, until: str | None = None, session: str = "s") -> str:
    """The text that was told; left at the first event `until`."""
    body = {"query": query, "user_id": "u", "session_id": session, "stream": True}
    text = ""
    with client.stream("POST", "/chat", json=body) as answer:
        for name, data in events(answer):
            text += data["text"] if name == "token" else ""
            if name == until and len(text.split()) >= 3:
                break
    return text


def test_the_second_turn_comes_with_the_first(stack: Stack) -> None:
    tenant = stack.new_tenant("memory")
    with stack.client(tenant) as client:
        first = ask(client, "tokens:4 hello there")
        assert first.headers["x-conversation-memory"] == "on"
        told = first.json()["answer"]
        assert prompt(stack) == [("user", "tokens:4 hello there")]
        second = ask(client, "tokens:4 and again?").json()
        assert prompt(stack) == [
            ("user", "tokens:4 hello there"),
            ("assistant", told),
            ("user", "tokens:4 and again?"),
        ]
        ask(client, "tokens:2 third")
        assert [content for _, content in prompt(stack)][2:4] == ["tokens:4 and again?", second["answer"]]
        kept = turns(client, tenant)
    assert [turn["number"] for turn in kept] == [1, 2, 3]
    assert kept[0] | {"at": ""} == {
        "number": 1,
        "request_id": first.json()["request_id"],
        "at": "",
        "question": "tokens:4 hello there",
        "answer": told,
        "state": "answered",
        "route": first.json()["route"],
        "citations": [],
        "prompt_tokens": first.json()["usage"]["prompt_tokens"],
        "completion_tokens": 4,
    }


def test_who_names_no_session_gets_one_and_may_go_on_with_it(stack: Stack) -> None:
    tenant = stack.new_tenant("memory")
    with stack.client(tenant) as client:
        session = ask(client, "tokens:2 first", None).json()["session_id"]
        ask(client, "tokens:2 second", session)
        assert [content for role, content in prompt(stack) if role == "user"] == ["tokens:2 first", "tokens:2 second"]
        ask(client, "tokens:2 new", None)
        assert prompt(stack) == [("user", "tokens:2 new")]


def test_sessions_of_two_tenants_and_two_users_are_strangers(stack: Stack) -> None:
    one, other = stack.new_tenant("memory"), stack.new_tenant("memory")
    for tenant in (one, other):
        for user in ("u", "v"):
            with stack.client(tenant) as client:
                ask(client, f"tokens:2 of {tenant} {user}", user_id=user)
                assert prompt(stack) == [("user", f"tokens:2 of {tenant} {user}")]
    with stack.client(one) as client:
        assert [turn["question"] for turn in turns(client, one)] == [f"tokens:2 of {one} u"]
        listed = client.get(f"/tenant/{one}/sessions").json()["items"]
        assert {(item["user_id"], item["session_id"], item["turns"]) for item in listed} == {
            ("u", "s", 1),
            ("v", "s", 1),
        }
        ambiguous = client.get(f"/tenant/{one}/sessions/s")
        assert (ambiguous.status_code, ambiguous.json()["error"]["code"]) == (422, "invalid_request")
        assert client.delete(f"/tenant/{one}/sessions/s", params={"user_id": "u"}).status_code == 204
        assert turns(client, one) == []
        assert [turn["question"] for turn in turns(client, one, user=None)] == [f"tokens:2 of {one} v"]
    with stack.client(other) as client:
        assert len(turns(client, other)) == 1


def test_an_earlier_turn_that_todays_rules_refuse_is_left_out_and_does_not_poison_the_session(stack: Stack) -> None:
    tenant = stack.new_tenant("memory")
    with stack.client(tenant) as client:
        ask(client, "tokens:2 tell me of apples")
        ask(client, "tokens:2 tell me of pears")
        changed = client.patch(f"/tenant/{tenant}/config", json={"sensitive_prompt_patterns": ["apples"]})
        assert changed.status_code == 200
        after = ask(client, "tokens:2 go on").json()
        assert after["refusal"] is None
        assert "apples" not in json.dumps(stack.last_engine_body())
        assert [content for role, content in prompt(stack) if role == "user"] == ["tokens:2 tell me of pears",
                                                                                  "tokens:2 go on"]  # fmt: skip
        refused = ask(client, "more apples").json()
        assert refused["refusal"]["reason"] == "sensitive_prompt"
        kept = turns(client, tenant)[-1]
        assert (kept["state"], kept["answer"]) == ("refused", refused["answer"])
        ask(client, "tokens:2 and now?")
        assert "more apples" not in json.dumps(stack.last_engine_body())
        assert refused["answer"] not in json.dumps(stack.last_engine_body())


def test_what_is_redacted_is_kept_redacted(stack: Stack) -> None:
    tenant = stack.new_tenant("memory", redact={"input": ["email"], "output": ["email"]})
    with stack.client(tenant) as client:
        ask(client, "tokens:9 write to a@b.example please")
        kept = turns(client, tenant)[0]
        assert "a@b.example" not in json.dumps(kept)
        assert "[EMAIL]" in kept["question"]
        ask(client, "tokens:2 again")
    assert "a@b.example" not in json.dumps(stack.last_engine_body())


def test_of_an_answer_that_breaks_off_or_is_left_what_was_told_is_kept_and_marked(stack: Stack) -> None:
    tenant = stack.new_tenant("memory")
    with stack.client(tenant) as client:
        broken = streamed(client, "please fault:die")
        wait_for(lambda: len(turns(client, tenant)) == 1, "the broken turn is not kept")
        left = streamed(client, "please fault:stall", until="token", session="t")
        wait_for(lambda: len(turns(client, tenant, "t")) == 1, "the turn that was left is not kept")
        kept = turns(client, tenant) + turns(client, tenant, "t")
        assert [(turn["state"], turn["answer"]) for turn in kept] == [("broken", broken), ("left", left)]
        assert client.post("/chat", json={"query": "fault:die", "session_id": "w", "user_id": "u"}).status_code == 502
        ask(client, "tokens:2 x", "w")
        assert prompt(stack) == [("user", "tokens:2 x")]  # whole answers: of the first nothing was told


def test_without_retention_nothing_is_kept_and_nothing_recalled(stack: Stack) -> None:
    tenant = stack.new_tenant("memory", retention_days=0)
    with stack.client(tenant) as client:
        assert ask(client, "tokens:2 first").headers["x-conversation-memory"] == "off"
        ask(client, "tokens:2 second")
        assert prompt(stack) == [("user", "tokens:2 second")]
        assert client.get(f"/tenant/{tenant}/sessions").json() == {"items": [], "next": None}


def test_a_repetition_is_the_same_request_and_is_kept_once(stack: Stack) -> None:
    tenant, mark = stack.new_tenant("memory"), {"idempotency-key": "k1"}
    with stack.client(tenant) as client:
        ask(client, "tokens:2 first")
        body = {"query": "tokens:2 second", "user_id": "u", "session_id": "s"}
        once = client.post("/chat", json=body, headers=mark).json()
        ask(client, "tokens:2 third")
        again = client.post("/chat", json=body, headers=mark)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json()["request_id"] == once["request_id"]
        assert [turn["number"] for turn in turns(client, tenant)] == [1, 2, 3]


def test_a_deleted_session_is_forgotten_by_every_router_at_once(stack: Stack, valkey_url: str) -> None:
    tenant = stack.new_tenant("memory")
    with served(another_router(stack, valkey_url)) as second:
        other = httpx.Client(base_url=second, headers={"x-tenant-id": tenant}, timeout=30)
        with stack.client(tenant) as client, other:
            ask(client, "tokens:2 first")
            ask(other, "tokens:2 second")
            assert len(prompt(stack)) == 3
            assert client.delete(f"/tenant/{tenant}/sessions/s").status_code == 204
            assert client.delete(f"/tenant/{tenant}/sessions/s").status_code == 404
            ask(other, "tokens:2 after")
            assert prompt(stack) == [("user", "tokens:2 after")]
            ask(client, "tokens:2 later")
            assert len(prompt(stack)) == 3
            assert client.delete(f"/tenant/{tenant}/sessions", params={"user_id": "u"}).status_code == 204
            assert client.get(f"/tenant/{tenant}/sessions").json()["items"] == []
            for one in (client, other):
                ask(one, "tokens:2 new", "s2" if one is other else "s")
                assert len(prompt(stack)) == 1
            audit = client.get(f"/tenant/{tenant}/audit").json()["items"]
    deeds = [(event["resource"], event["details"]) for event in audit if event["action"] == "session.delete"]
    assert deeds == [("sessions", {"user_id": "u", "sessions": 1}), ("session/s", {"user_id": "u", "sessions": 1})]


def test_a_turn_under_way_while_its_session_is_deleted_does_not_come_back(stack: Stack) -> None:
    tenant = stack.new_tenant("memory")
    with stack.client(tenant) as client:
        ask(client, "tokens:2 first")
        body = {"query": "fault:stall", "user_id": "u", "session_id": "s", "stream": True}
        with client.stream("POST", "/chat", json=body) as answer:
            coming = events(answer)
            while next(coming)[0] != "token":
                pass
            assert httpx.delete(f"{stack.router}/tenant/{tenant}/sessions/s", headers=client.headers).status_code == 204
        asked = stack.engine_requests()
        ask(client, "tokens:2 elsewhere", "other")
        assert stack.engine_requests() == asked + 1
        time.sleep(0.2)  # the left turn's write has nothing that tells of its end
        assert turns(client, tenant) == []


def test_the_export_has_every_turn_and_the_receipt_of_a_deletion_counts_them(stack: Stack) -> None:
    tenant = stack.new_tenant("memory")
    with stack.client(tenant) as client:
        for query in ("tokens:2 one", "tokens:2 two"):
            ask(client, query)
        ask(client, "tokens:2 three", "t", user_id="v")
        archive = zipfile.ZipFile(BytesIO(client.get(f"/tenant/{tenant}/export").content))
    rows = [json.loads(line) for line in archive.read("conversations.jsonl").splitlines()]
    assert [(row["user_id"], row["session_id"], row["number"], row["question"]) for row in rows] == [
        ("u", "s", 1, "tokens:2 one"),
        ("u", "s", 2, "tokens:2 two"),
        ("v", "t", 1, "tokens:2 three"),
    ]
    with stack.platform() as platform:
        receipt = platform.delete(f"/tenants/{tenant}").json()
        assert receipt["removed"]["postgres.conversation_turns"] == 3
        assert receipt["removed"]["postgres.conversations"] == 2
        assert set(receipt["left"].values()) == {0}
        platform.post("/tenants", json={"tenant_id": tenant}).raise_for_status()
    with stack.client(tenant) as client:
        ask(client, "tokens:2 new")
        assert prompt(stack) == [("user", "tokens:2 new")]
        assert len(turns(client, tenant)) == 1


def test_many_turns_of_one_session_at_once_are_all_kept(stack: Stack, valkey_url: str) -> None:
    tenant = stack.new_tenant("memory")
    with ExitStack() as running:
        urls = [stack.router, running.enter_context(served(another_router(stack, valkey_url)))]
        clients = [running.enter_context(httpx.Client(base_url=url, headers={"x-tenant-id": tenant})) for url in urls]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: ask(clients[number % 2], f"tokens:3 q{number}").json(), range(24)))
        kept = turns(clients[0], tenant)
        assert [turn["number"] for turn in kept] == list(range(1, 25))
        assert {turn["request_id"]: turn["answer"] for turn in kept} == {
            answer["request_id"]: answer["answer"] for answer in answers
        }
        ask(clients[1], "tokens:1 last")
        # A summary was asked for behind it, so it is not the engine's last request.
        bodies = [one.body["messages"] for one in stack.imitation.asked]
        asked = [messages for messages in bodies if messages[-1]["content"] == "tokens:1 last"]
        said = [message["content"] for message in asked[-1] if message["role"] == "user"]
        assert said[-2] == kept[-1]["question"]


@pytest.mark.parametrize("restarted", [False, True])
def test_without_valkey_the_store_is_asked_and_a_deletion_is_refused(
    stack: Stack, tmp_path: Path, restarted: bool
) -> None:
    tenant = stack.new_tenant("memory")
    with ExitStack() as running:
        valkey = OwnValkey(tmp_path)
        running.callback(valkey.close)
        valkey.start()
        url = running.enter_context(served(another_router(stack, valkey.url)))
        client = running.enter_context(httpx.Client(base_url=url, headers={"x-tenant-id": tenant}, timeout=30))
        ask(client, "tokens:2 first")
        valkey.kill()
        wait_for(lambda: client.get("/readyz").status_code == 503, "nobody noticed")
        assert ask(client, "tokens:2 second").headers["x-conversation-memory"] == "on"
        assert len(prompt(stack)) == 3
        refused = client.delete(f"/tenant/{tenant}/sessions/s")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "dependency_unavailable")
        assert len(turns(client, tenant)) == 2
        if restarted:
            valkey.start()
            wait_for(lambda: client.get("/readyz").status_code == 200, "it is not there again")
            ask(client, "tokens:2 third")
            assert len(prompt(stack)) == 5
            wait_for(lambda: client.delete(f"/tenant/{tenant}/sessions/s").status_code == 204, "not deleted")


def test_turns_expire_with_the_tenants_retention(stack: Stack) -> None:
    tenant = stack.new_tenant("memory", retention_days=1)
    with stack.client(tenant) as client:
        for query in ("tokens:2 old", "tokens:2 new"):
            ask(client, query)
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant])
            connection.execute(
                "UPDATE conversation_turns SET at = now() - interval '25 hours' WHERE tenant_id = %s AND number = 1",
                [tenant],
            )
            connection.execute(
                "UPDATE conversations SET revision = nextval('conversation_revisions') WHERE tenant_id = %s", [tenant]
            )
        ask(client, "tokens:2 go on")
        ask(client, "tokens:2 and on")
        assert "tokens:2 old" not in json.dumps(stack.last_engine_body())


def test_a_long_session_goes_on_from_a_summary_that_is_billed_with_its_request(stack: Stack, valkey_url: str) -> None:
    tenant = stack.new_tenant("memory")
    with ExitStack() as running:
        url = running.enter_context(served(another_router(stack, valkey_url, memory_turns=4)))
        client = running.enter_context(httpx.Client(base_url=url, headers={"x-tenant-id": tenant}, timeout=30))
        for number in range(5):
            ask(client, f"tokens:2 question {number}")
        asked = stack.engine_requests()
        answer = ask(client, "tokens:2 question 5").json()
        assert stack.engine_requests() == asked + 2
        bodies = [one.body for one in stack.imitation.asked[-2:]]
        assert "Summarize this conversation" in bodies[1]["messages"][-1]["content"]
        assert "question 0" in bodies[1]["messages"][-1]["content"]
        assert "question 4" not in bodies[1]["messages"][-1]["content"]
        words = [sum(len(message["content"].split()) for message in body["messages"]) for body in bodies]
        assert answer["usage"]["prompt_tokens"] == sum(words)
        summary = client.get(f"/tenant/{tenant}/sessions/s").json()["summary"]
        assert summary
        ask(client, "tokens:2 question 6")
        texts = [content for _, content in prompt(stack)]
        assert texts[0].startswith("(Of what was said before: ")
        assert "question 0" not in "".join(texts[1:])
        assert [text for text in texts if text.endswith("question 5")]
        total = client.get(f"/tenant/{tenant}/usage").json()["total"]
        assert total["completion_tokens"] > 7 * 2


def test_a_summary_that_hangs_costs_the_answer_nothing_but_its_deadline(stack: Stack, valkey_url: str) -> None:
    tenant = stack.new_tenant("memory")
    with ExitStack() as running:
        url = running.enter_context(served(another_router(stack, valkey_url, memory_turns=2)))
        client = running.enter_context(httpx.Client(base_url=url, headers={"x-tenant-id": tenant}, timeout=30))
        streamed(client, "please fault:stall", until="token")
        wait_for(lambda: len(turns(client, tenant)) == 1, "the turn that was left is not kept")
        for query in ("tokens:2 second", "tokens:2 third"):
            ask(client, query)
        began = time.monotonic()
        answer = ask(client, "tokens:3 fourth").json()  # what is to be summarised makes the engine stall
        assert time.monotonic() - began > 4
        assert "fault:stall" in stack.imitation.asked[-1].body["messages"][-1]["content"]
        assert (answer["refusal"], answer["answer"].count(" ") + 1) == (None, 3)
        assert answer["usage"]["completion_tokens"] >= 3
        assert client.get(f"/tenant/{tenant}/sessions/s").json()["summary"] == ""
        assert stack.imitation.wait_for(lambda asked: asked[-1].disconnected)


def test_a_turn_that_cannot_be_written_at_once_is_written_behind_its_answer(stack: Stack) -> None:
    tenant = stack.new_tenant("memory")
    with stack.client(tenant) as client:
        ask(client, "tokens:2 first", "kept")
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant])
            connection.execute("SELECT FROM conversations WHERE tenant_id = %s FOR UPDATE", [tenant])
            began = time.monotonic()
            answer = ask(client, "tokens:2 second", "kept")
            assert answer.json()["refusal"] is None
            assert time.monotonic() - began < 5
            assert len(turns(client, tenant, "kept")) == 1  # it waits for the lock, behind the answer
        wait_for(lambda: len(turns(client, tenant, "kept")) == 2, "the turn was not written behind the answer")
