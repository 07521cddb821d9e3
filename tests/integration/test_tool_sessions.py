"""Tools in a session that the server remembers: what an engine is told stays a conversation that it can read."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from openai import BadRequestError, UnprocessableEntityError
from openai.types.chat import ChatCompletion, ChatCompletionMessage

from support.openai_clients import a_tool, openai_client
from support.stack import Stack

CALLS = "call:look_up olives"


@pytest.fixture
def session(stack: Stack) -> Session:
    return Session(stack, stack.new_tenant("tools"))


class Session:
    def __init__(self, stack: Stack, tenant: str) -> None:
        self.stack, self.tenant = stack, tenant
        self.id = f"s-{secrets.token_hex(4)}"

    def say(self, *messages: Any, tools: bool = False) -> ChatCompletionMessage:
        wishes: dict[str, Any] = {"tools": [a_tool()]} if tools else {}
        with openai_client(self.stack, self.tenant) as client:
            told: ChatCompletion = client.chat.completions.create(
                model="atrium", messages=list(messages), extra_body={"atrium": {"session_id": self.id}}, **wishes
            )
        return told.choices[0].message

    def sent(self) -> list[tuple[str, str]]:
        """What the engine was asked last, without the instruction."""
        messages = self.stack.last_engine_body()["messages"]
        return [(one["role"], one.get("content") or "") for one in messages if one["role"] != "system"]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def results(message: ChatCompletionMessage, content: str) -> list[dict[str, Any]]:
    """As a client sends them back: the answer as it came, and the results behind it."""
    assert message.content is None
    assert message.tool_calls
    answered = [{"role": "tool", "tool_call_id": call.id, "content": content} for call in message.tool_calls]
    return [message.model_dump(exclude_none=True) | {"content": None}, *answered]


def test_results_of_tools_follow_their_calls_behind_what_was_said_before(session: Session) -> None:
    first = session.say(user("tokens:2 hello")).content
    called = session.say(user(CALLS), tools=True)
    assert session.sent() == [("user", "tokens:2 hello"), ("assistant", first), ("user", CALLS)]
    session.say(user(CALLS), *results(called, "9 euros"), tools=True)
    sent = session.stack.last_engine_body()["messages"]
    assert session.sent() == [
        ("user", "tokens:2 hello"),
        ("assistant", first),
        ("user", CALLS),
        ("assistant", ""),
        ("tool", "9 euros"),
    ]
    assert sent[-2]["tool_calls"][0]["id"] == sent[-1]["tool_call_id"]


def test_the_next_question_comes_with_the_answer_and_without_a_call_that_has_no_result(session: Session) -> None:
    called = session.say(user(CALLS), tools=True)
    answer = session.say(user(CALLS), *results(called, "9 euros")).content
    assert answer
    session.say(user("tokens:2 thanks"))
    assert session.sent() == [("user", CALLS), ("assistant", answer), ("user", "tokens:2 thanks")]
    assert not any("tool_calls" in message for message in session.stack.last_engine_body()["messages"])


def test_a_call_whose_results_never_come_is_not_recalled(session: Session) -> None:
    session.say(user(CALLS), tools=True)
    session.say(user("tokens:2 never mind"))
    assert session.sent() == [("user", "tokens:2 never mind")]


def test_both_turns_are_kept_as_they_were(session: Session) -> None:
    called = session.say(user(CALLS), tools=True)
    answer = session.say(user(CALLS), *results(called, "9 euros")).content
    with session.stack.client(session.tenant) as client:
        (listed,) = client.get(f"/tenant/{session.tenant}/sessions").json()["items"]
        kept = client.get(f"/tenant/{session.tenant}/sessions/{session.id}", params={"user_id": listed["user_id"]})
    turns = [(one["question"], one["answer"], one["state"]) for one in kept.json()["items"]]
    assert turns == [(CALLS, "", "answered"), (CALLS, answer, "answered")]


def test_results_without_their_question_are_refused(session: Session) -> None:
    with pytest.raises((BadRequestError, UnprocessableEntityError), match="role `user`"):
        session.say({"role": "tool", "tool_call_id": "c1", "content": "9 euros"})
