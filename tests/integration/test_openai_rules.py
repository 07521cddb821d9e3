"""A tenant's rules hold on `/v1/chat/completions` as on `/chat`: for all that goes in and all that comes out."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from support.openai_clients import a_tool, asking, openai_client
from support.stack import Stack

IN = {"id": "r-in", "type": "contains", "pattern": "project falcon", "reason": "not for here", "stage": "input"}
OUT = IN | {"id": "r-out", "stage": "output"}
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"said": "project\\u0020falcon"}'},
}
BOLD = "".join(chr(0x1D41A + ord(one) - 97) if one.isalpha() else one for one in "project falcon")
HIDDEN = "pro\u200bject fal\u00adcon"


def whole(stack: Stack, tenant: str, **asked: Any) -> ChatCompletion:
    with openai_client(stack, tenant) as client:
        found = client.chat.completions.create(**({"model": "atrium"} | asked))
    assert isinstance(found, ChatCompletion)
    return found


def streamed(stack: Stack, tenant: str, **asked: Any) -> list[ChatCompletionChunk]:
    with openai_client(stack, tenant) as client:
        return list(client.chat.completions.create(**({"model": "atrium", "stream": True} | asked)))


def text_of(told: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in told if chunk.choices)


def verdict(told: ChatCompletion | ChatCompletionChunk) -> dict[str, Any]:
    found = (told.model_extra or {})["atrium"]["refusal"]
    assert isinstance(found, dict)
    return found


def described(description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    tool = a_tool(description=description)
    if schema is not None:
        tool["function"]["parameters"] = schema
    return tool


PLACES: dict[str, dict[str, Any]] = {
    "the question": {"messages": asking(f"Tell me of {HIDDEN}.")},
    "the system prompt": {"messages": [{"role": "system", "content": HIDDEN}, *asking("hi")]},
    "an earlier question": {"messages": [*asking(HIDDEN), {"role": "assistant", "content": "no"}, *asking("hi")]},
    "an earlier answer": {"messages": [*asking("hi"), {"role": "assistant", "content": HIDDEN}, *asking("and?")]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in ("project", "falcon")]}]},
    "a tool's result": {
        "messages": [
            *asking("hi"),
            {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": HIDDEN},
        ]
    },
    "an earlier call": {
        "messages": [
            *asking("hi"),
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "9"},
        ]
    },
    "an earlier call in letters of mathematics": {
        "messages": [
            *asking("hi"),
            {
                "role": "assistant",
                "tool_calls": [CALL | {"function": {"name": "f", "arguments": json.dumps({"a": BOLD})}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "9"},
        ]
    },
    "a tool's description": {"messages": asking("hi"), "tools": [described(HIDDEN)]},
    "a tool's schema": {
        "messages": asking("hi"),
        "tools": [described("", {"type": "object", "properties": {"a": {"description": "Project\nFalcon"}}})],
    },
    "the form of the answer": {
        "messages": asking("hi"),
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"enum": ["project falcon", "b"]}},
        },
    },
}


@pytest.mark.parametrize("place", PLACES)
def test_what_an_input_rule_refuses_is_refused_wherever_it_stands_and_reaches_no_engine(
    stack: Stack, place: str
) -> None:
    tenant, asked = stack.new_tenant("ruled", refusal_rules=[IN]), PLACES[place]
    before = stack.engine_requests()
    answer = whole(stack, tenant, **asked)
    (choice,) = answer.choices
    assert choice.finish_reason == "content_filter"
    assert choice.message.content == choice.message.refusal == "I can't help with that: not for here."
    assert verdict(answer) == {"reason": "not for here", "rule_id": "r-in", "stage": "input"}
    told = streamed(stack, tenant, **asked)
    assert told[-1].choices[0].finish_reason == "content_filter"
    assert verdict(told[-1]) == verdict(answer)
    assert text_of(told) == choice.message.content
    assert stack.engine_requests() == before


@pytest.mark.parametrize("pieces", range(1, 16))
def test_a_call_that_says_what_is_refused_is_not_told_however_it_is_cut(stack: Stack, pieces: int) -> None:
    tenant = stack.new_tenant("ruled", refusal_rules=[OUT])
    asked: dict[str, Any] = {
        "messages": asking(f"cut:{pieces} call:look_up the price of \u043fproject falcon \u00e9"),
        "tools": [a_tool()],
    }
    answer, told = whole(stack, tenant, **asked), streamed(stack, tenant, **asked)
    assert answer.choices[0].finish_reason == told[-1].choices[0].finish_reason == "content_filter"
    assert answer.choices[0].message.tool_calls is None
    assert not any(chunk.choices[0].delta.tool_calls for chunk in told)
    assert verdict(answer) == verdict(told[-1])
    assert verdict(answer)["rule_id"] == "r-out"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == stack.imitation.asked[-1].tokens_sent


@pytest.mark.parametrize("shift", range(15))
def test_a_text_that_is_refused_stops_where_it_begins_streamed_or_not(stack: Stack, shift: int) -> None:
    tenant = stack.new_tenant("ruled", refusal_rules=[OUT])
    asked: dict[str, Any] = {"messages": asking(f"tokens:9 fault:split {'x' * shift}project falcon flies")}
    answer, told = whole(stack, tenant, **asked), streamed(stack, tenant, **asked)
    assert "falcon" not in text_of(told)
    assert told[-1].choices[0].finish_reason == answer.choices[0].finish_reason == "content_filter"
    assert told[-1].choices[0].delta.refusal == answer.choices[0].message.content == answer.choices[0].message.refusal
    assert verdict(told[-1]) == verdict(answer)


def test_a_refused_answer_is_billed_what_was_generated_and_noted_in_the_audit(stack: Stack) -> None:
    tenant = stack.new_tenant("ruled", refusal_rules=[OUT])
    told = streamed(
        stack, tenant, messages=asking("project falcon fault:stall"), stream_options={"include_usage": True}
    )
    usage = told[-1].usage
    asked = stack.imitation.asked[-1]
    assert stack.imitation.wait_for(lambda _: asked.disconnected, 2)
    assert usage is not None
    with stack.client(tenant) as client:
        total = client.get(f"/tenant/{tenant}/usage").json()["total"]
        assert (total["requests"], total["completion_tokens"]) == (1, usage.completion_tokens)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            items = client.get(f"/tenant/{tenant}/audit").json()["items"]
            if hits := [item for item in items if item["action"] == "rule.hit"]:
                break
            time.sleep(0.05)
    assert hits[0]["resource"] == "rule/r-out"


def test_what_is_redacted_in_a_call_leaves_it_json(stack: Stack) -> None:
    tenant = stack.new_tenant("ruled", redact={"output": ["email"]})
    answer = whole(stack, tenant, messages=asking("call:look_up write to eve@rival.example"), tools=[a_tool()])
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.arguments == '{"said":"write to [EMAIL]"}'


def test_what_is_redacted_of_a_conversation_reaches_no_engine(stack: Stack) -> None:
    tenant = stack.new_tenant("ruled", redact={"input": ["email"]})
    messages = [{"role": "system", "content": "I am eve@rival.example."}, *asking("who is eve@rival.example?")]
    whole(stack, tenant, messages=[*asking("eve@rival.example"), *messages])
    assert "rival" not in str(stack.last_engine_body())


def test_an_earlier_call_is_redacted_as_it_is_read_and_stays_json(stack: Stack) -> None:
    tenant = stack.new_tenant("ruled", redact={"input": ["email", "phone"]}, locale="fr-FR")
    said = {"text": "Bonjour,\nalice@rival.example", "tel": "+33\u00a06\u00a012\u00a034\u00a056\u00a078"}
    call = CALL | {"function": {"name": "f", "arguments": json.dumps(said)}}
    result = {"role": "tool", "tool_call_id": "c1", "content": "9"}
    whole(stack, tenant, messages=[*asking("hi"), {"role": "assistant", "tool_calls": [call]}, result])
    [told] = [one["tool_calls"] for one in stack.last_engine_body()["messages"] if one.get("tool_calls")]
    assert json.loads(told[0]["function"]["arguments"]) == {"text": "Bonjour,\n[EMAIL]", "tel": "[PHONE]"}


@pytest.mark.parametrize("name", ["mcp_finance", "MCP_Finance"])
def test_a_tool_that_is_switched_off_is_offered_to_no_model(stack: Stack, name: str) -> None:
    tenant, before = stack.new_tenant("ruled", blocked_tools=["mcp_finance"]), stack.engine_requests()
    answer = whole(stack, tenant, messages=asking("hi"), tools=[a_tool(), a_tool(name)])
    assert answer.choices[0].finish_reason == "content_filter"
    assert verdict(answer) == {"reason": "blocked_tool", "rule_id": "blocked_tools", "stage": "input"}
    assert stack.engine_requests() == before
    assert whole(stack, tenant, messages=asking("tokens:2 hi"), tools=[a_tool()]).choices[0].finish_reason == "stop"


def test_a_tool_that_is_switched_off_is_called_by_no_answer(stack: Stack) -> None:
    """A model may name what nobody offered."""
    tenant = stack.new_tenant("ruled", blocked_tools=["mcp_finance"])
    answer = whole(stack, tenant, messages=asking("call:mcp_finance pay"), tools=[a_tool()])
    assert answer.choices[0].finish_reason == "content_filter"
    assert verdict(answer)["stage"] == "output"


def test_a_route_that_the_tenant_does_not_serve_is_refused(stack: Stack) -> None:
    tenant = stack.new_tenant("ruled", allowed_routes=["GENERAL"])
    answer = whole(stack, tenant, messages=asking("How many calories are in a banana?"))
    assert answer.choices[0].finish_reason == "content_filter"
    assert verdict(answer)["reason"] == "route_not_allowed"
    assert (answer.model_extra or {})["atrium"]["route"] == ""
