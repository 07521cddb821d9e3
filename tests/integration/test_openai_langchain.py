"""LangChain's `ChatOpenAI`, unchanged, against the router."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from support.openai_clients import key_of
from support.stack import Stack


class Wanted(BaseModel):
    """What somebody wants."""

    said: str = Field(description="in their words", max_length=500)


@pytest.fixture
def model(stack: Stack) -> ChatOpenAI:
    return chat(stack, stack.new_tenant("chain"))


def chat(stack: Stack, tenant: str, **options: Any) -> ChatOpenAI:
    known = {"model": "atrium", "base_url": f"{stack.router}/v1", "api_key": key_of(stack, tenant), "max_retries": 0}
    return ChatOpenAI(**(known | options))


def test_it_is_invoked(model: ChatOpenAI) -> None:
    answer = model.invoke([SystemMessage("Be brief."), HumanMessage("tokens:4 hello there")])
    assert answer.content == "tokens:4 hello there tokens:4"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 4
    assert answer.response_metadata["finish_reason"] == "stop"


async def test_it_streams_at_once_and_later(model: ChatOpenAI) -> None:
    asked = "tokens:4 hello there"
    whole = model.invoke(asked).content
    told = list(model.stream(asked, stream_usage=True))
    assert "".join(str(chunk.content) for chunk in told) == whole
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in told if chunk.usage_metadata) == 4
    assert "".join([str(chunk.content) async for chunk in model.astream(asked)]) == whole
    assert (await model.ainvoke(asked)).content == whole


def look_up(said: str) -> str:
    """Says what something costs."""
    return f"{said}: 9 euros"


def test_it_calls_tools_and_goes_on_with_what_they_gave(stack: Stack, model: ChatOpenAI) -> None:
    bound = model.bind_tools([look_up], parallel_tool_calls=False)
    question = HumanMessage("call:look_up olives")
    called = bound.invoke([question])
    assert isinstance(called, AIMessage)
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("look_up", {"said": "olives"})
    result = ToolMessage(look_up(**call["args"]), tool_call_id=call["id"], name="look_up")
    assert "9" in str(bound.invoke([question, called, result]).content)
    roles = [message["role"] for message in stack.last_engine_body()["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]
    streamed = None
    for chunk in bound.stream([question]):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed is not None
    assert [(one["name"], one["args"]) for one in streamed.tool_calls] == [("look_up", {"said": "olives"})]  # type: ignore[attr-defined]


@pytest.mark.parametrize("choice", ["look_up", "any", "auto", "required"])
def test_it_says_which_tool_is_to_be_called(stack: Stack, model: ChatOpenAI, choice: str) -> None:
    model.bind_tools([look_up], tool_choice=choice).invoke("call:look_up olives")
    named = {"type": "function", "function": {"name": "look_up"}}
    sent = stack.last_engine_body()["tool_choice"]
    assert sent == {"look_up": named, "any": "required"}.get(choice, choice)


def test_it_gets_values_of_a_type_by_a_tool(model: ChatOpenAI) -> None:
    found = model.with_structured_output(Wanted, method="function_calling").invoke("olives, please")
    assert found == Wanted(said="olives, please")


@pytest.mark.parametrize("method", ["json_mode", "json_schema"])
def test_it_gets_values_of_a_type_by_a_schema(stack: Stack, model: ChatOpenAI, method: str) -> None:
    """The imitated engine says the question again: here it is its own answer."""
    structured: Any = model.with_structured_output(Wanted, method=method)
    assert structured.invoke('{"said":"tokens:1"}') == Wanted(said="tokens:1")
    assert stack.last_engine_body()["response_format"]["type"] == method.replace("json_mode", "json_object")


def test_a_refusal_is_its_answer(stack: Stack) -> None:
    rule = {"type": "contains", "pattern": "falcon", "reason": "not for here"}
    answer = chat(stack, stack.new_tenant("chain", refusal_rules=[rule])).invoke("Tell me of the falcon.")
    assert answer.content == "I can't help with that: not for here."
    assert answer.response_metadata["finish_reason"] == "content_filter"


def test_documents_are_searched_where_it_asks_for_that(stack: Stack) -> None:
    tenant = stack.new_tenant("chain")
    with stack.client(tenant) as client:
        document = {"title": "Prices", "text": "The copper oil can of the harbour shop costs 41 euros."}
        assert client.post(f"/tenant/{tenant}/documents", json=document).status_code == 201
    asking = chat(stack, tenant, extra_body={"atrium": {"retrieve": True}})
    asking.invoke("What does the copper oil can of the harbour shop cost?")
    assert "41 euros" in stack.last_engine_body()["messages"][-1]["content"]
