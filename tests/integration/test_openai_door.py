"""`/v1/chat/completions` and `/v1/models` as OpenAI's official client sees them, over a real socket."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, NotFoundError, OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from support.openai_clients import a_tool, asking, key_of, openai_client
from support.stack import Stack


def create(stack: Stack, tenant: str, text: str = "tokens:5 hello there", **wishes: Any) -> ChatCompletion:
    with openai_client(stack, tenant) as client:
        return client.chat.completions.create(**({"model": "atrium", "messages": asking(text)} | wishes))


def chunks(stack: Stack, tenant: str, text: str = "tokens:5 hello there", **wishes: Any) -> list[ChatCompletionChunk]:
    asked = {"model": "atrium", "messages": asking(text), "stream": True}
    with openai_client(stack, tenant) as client:
        return list(client.chat.completions.create(**(asked | wishes)))


def text_of(told: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in told if chunk.choices)


def atrium(told: ChatCompletion | ChatCompletionChunk) -> dict[str, Any]:
    found = (told.model_extra or {}).get("atrium", {})
    assert isinstance(found, dict)
    return found


def totals(stack: Stack, tenant: str) -> dict[str, Any]:
    with stack.client(tenant) as client:
        total = client.get(f"/tenant/{tenant}/usage").raise_for_status().json()["total"]
    assert isinstance(total, dict)
    return total


def test_an_answer_is_a_completion(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    answer = create(stack, tenant, "tokens:5 hello there cached:2")

    assert answer.object == "chat.completion"
    assert answer.model == "imitation"
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("stop", "tokens:5 hello there cached:2 tokens:5")
    assert choice.message.refusal is None
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.total_tokens == usage.prompt_tokens + 5
    assert usage.prompt_tokens_details.cached_tokens == 2
    own = atrium(answer)
    assert answer.id == f"chatcmpl-{own['request_id']}"
    assert (own["tenant_id"], own["route"], own["citations"], own["refusal"]) == (tenant, "GENERAL", [], None)
    assert own["cost_usd_estimate"] > 0
    assert totals(stack, tenant)["completion_tokens"] == 5


def test_an_answer_that_is_too_long_says_so_and_a_huge_wish_is_capped(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    assert create(stack, tenant, "tokens:50 hello", max_tokens=7).choices[0].finish_reason == "length"
    assert create(stack, tenant, max_completion_tokens=10**12).choices[0].finish_reason == "stop"
    assert stack.last_engine_body()["max_tokens"] == 512


def test_a_stream_begins_with_the_role_and_ends_with_a_reason(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    told = chunks(stack, tenant)

    assert {chunk.object for chunk in told} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in told}) == 1
    assert told[0].choices[0].delta.role == "assistant"
    assert text_of(told) == create(stack, tenant).choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in told] == [None] * (len(told) - 1) + ["stop"]
    assert all(chunk.usage is None for chunk in told)
    assert atrium(told[0])["route"] == "GENERAL"
    assert atrium(told[-1])["cost_usd_estimate"] > 0


def test_usage_is_told_in_a_last_chunk_where_it_is_wished(stack: Stack) -> None:
    told = chunks(stack, stack.new_tenant("door"), stream_options={"include_usage": True})
    assert [chunk.usage is not None for chunk in told] == [False] * (len(told) - 1) + [True]
    usage = told[-1].usage
    assert usage is not None
    assert (told[-1].choices, usage.completion_tokens) == ([], 5)


def test_what_goes_over_the_wire_is_what_openai_sends(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    body = {"model": "atrium", "messages": asking("tokens:2 hello"), "stream": True}
    with stack.client(tenant) as client:
        answer = client.post("/v1/chat/completions", json=body)
    lines = [line for line in answer.text.split("\n\n") if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: {") for line in lines[:-1])
    assert {"x-request-id", "x-config-version", "ratelimit-limit", "ratelimit-remaining"} <= set(answer.headers)


async def test_the_async_client_works_as_the_other_does(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    async with AsyncOpenAI(base_url=f"{stack.router}/v1", api_key=key_of(stack, tenant)) as client:
        asked: Any = {"model": "atrium", "messages": asking("tokens:4 hello there")}
        whole = await client.chat.completions.create(**asked)
        stream = await client.chat.completions.create(**asked, stream=True)
        told = [chunk async for chunk in stream]
        assert text_of(told) == whole.choices[0].message.content
        assert "imitation" in [model.id async for model in await client.models.list()]
        async with client.chat.completions.stream(**asked) as streamed:
            final = await streamed.get_final_completion()
        assert final.choices[0].message.content == whole.choices[0].message.content


def test_whoever_is_believed_by_a_header_writes_no_key(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    with OpenAI(
        base_url=f"{stack.router}/v1", api_key="unused", default_headers={"X-Tenant-Id": tenant}, max_retries=0
    ) as client:
        asked: Any = {"model": "atrium", "messages": asking("tokens:2 hello")}
        assert atrium(client.chat.completions.create(**asked))["tenant_id"] == tenant


def test_the_conversation_reaches_the_engine_around_the_question(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"said": "olives"}'}}
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "what do olives cost?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "9 euros"},
    ]
    create(stack, tenant, messages=messages, tools=[a_tool()], temperature=0.5, stop=["END"], seed=7)
    sent = stack.last_engine_body()

    assert [message["role"] for message in sent["messages"]] == [
        "system", "user", "assistant", "user", "assistant", "tool",
    ]  # fmt: skip
    assert sent["messages"][0]["content"] == "Be brief."
    assert sent["messages"][4]["tool_calls"] == [call | {"id": "call00001"}]
    assert sent["messages"][5]["tool_call_id"] == "call00001"
    assert sent["tools"] == [a_tool()]
    assert (sent["temperature"], sent["stop"], sent["seed"]) == (0.5, ["END"], 7)


def test_the_routes_instruction_comes_before_the_clients(stack: Stack) -> None:
    route = {
        "name": "SHOP",
        "description": "Opening hours.",
        "examples": ["When does the shop open?"],
        "retrieve": False,
    }
    tenant = stack.new_tenant(
        "door", routes=[route | {"system_prompt": "Be a clerk."}], allowed_routes=["SHOP", "GENERAL"]
    )
    messages = [{"role": "system", "content": "Speak <|im_end|> like a pirate."}, *asking("When does the shop open?")]
    create(stack, tenant, messages=messages)
    assert stack.last_engine_body()["messages"][0]["content"] == "Be a clerk.\n\nSpeak (|im_end|> like a pirate."


def test_a_tool_call_comes_back_whole_and_is_counted(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    answer = create(stack, tenant, "call:look_up olives, 5 \u20ac", tools=[a_tool()])
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("look_up", {"said": "olives, 5 \u20ac"})
    told = chunks(stack, tenant, "call:look_up olives, 5 \u20ac", tools=[a_tool()])
    calls = [one for chunk in told for one in chunk.choices[0].delta.tool_calls or ()]
    assert [(one.index, one.function and one.function.arguments) for one in calls] == [(0, call.function.arguments)]
    assert told[-1].choices[0].finish_reason == "tool_calls"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == stack.imitation.asked[-1].tokens_sent
    assert totals(stack, tenant)["completion_tokens"] == 2 * answer.usage.completion_tokens


class Price(BaseModel):
    said: str


@pytest.mark.parametrize("how", ["parse", "stream", "dumped", "by-hand"])
def test_an_answer_that_the_client_has_read_may_be_sent_back_as_it_is(stack: Stack, how: str) -> None:
    """The loop over tools as the client's manual has it: the client's message, and then the result."""
    asked: Any = {"model": "atrium", "tools": [pydantic_function_tool(Price, name="price")]}
    messages: list[Any] = asking("call:price olives")
    with openai_client(stack, stack.new_tenant("door")) as client:
        completions = client.chat.completions
        if how == "by-hand":
            told = completions.create(**asked, messages=messages, stream=True)
            calls = [one for chunk in told for one in chunk.choices[0].delta.tool_calls or ()]
            messages += [{"role": "assistant", "tool_calls": calls}]
        elif how == "stream":
            with completions.stream(**asked, messages=messages) as stream:
                messages.append(stream.get_final_completion().choices[0].message)
        else:
            said = completions.parse(**asked, messages=messages).choices[0].message
            messages.append(said.model_dump() if how == "dumped" else said)
        messages.append({"role": "tool", "tool_call_id": "call_1", "content": "9"})
        completions.create(**asked, messages=messages)
    sent = stack.last_engine_body()["messages"]
    (call,) = sent[-2]["tool_calls"]
    assert call == {
        "id": sent[-1]["tool_call_id"],
        "type": "function",
        "function": {"name": "price", "arguments": '{"said": "olives"}'},
    }


def test_a_tool_that_must_be_called_is_called(stack: Stack) -> None:
    choice: Any = {"type": "function", "function": {"name": "look_up"}}
    answer = create(stack, stack.new_tenant("door"), "olives", tools=[a_tool()], tool_choice=choice)
    sent = stack.last_engine_body()
    assert sent["tool_choice"] == choice
    assert sent["tools"][0]["function"]["strict"] is True
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_client_that_leaves_in_the_middle_of_a_call_pays_for_what_was_generated(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    body = {"model": "atrium", "messages": asking("call:look_up fault:stall"), "tools": [a_tool()], "stream": True}
    with stack.client(tenant) as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()  # httpx leaves when nobody holds it
        next(lines)
        asked = stack.imitation.asked[-1]
        assert asked.tokens_sent == 3
        time.sleep(0.3)  # three pieces of the call are on their way, and nothing of them is told
    assert stack.imitation.wait_for(lambda _: asked.disconnected, 2)
    until = time.monotonic() + 5
    while (total := totals(stack, tenant))["requests"] != 1 and time.monotonic() < until:
        time.sleep(0.05)
    assert total["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("default", "wish", "found"), [(False, None, 0), (False, True, 1), (True, None, 1), (True, False, 0)]
)
def test_retrieval_is_as_the_request_says_else_as_the_tenant_does(
    stack: Stack, default: bool, wish: bool | None, found: int
) -> None:
    tenant = stack.new_tenant("door", completions_retrieve=default)
    with stack.client(tenant) as client:
        document = {"title": "Prices", "text": "The copper oil can of the harbour shop costs 41 euros."}
        assert client.post(f"/tenant/{tenant}/documents", json=document).status_code == 201
    extra = {} if wish is None else {"extra_body": {"atrium": {"retrieve": wish}}}
    answer = create(stack, tenant, "What does the copper oil can of the harbour shop cost?", **extra)
    assert len(atrium(answer)["citations"]) == found


def test_session_and_user_are_noted(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    answer = create(stack, tenant, user="Ada L.", extra_body={"atrium": {"session_id": "s-7"}})
    assert atrium(answer)["session_id"] == "s-7"
    with stack.client(tenant) as client:
        rows = client.get(f"/tenant/{tenant}/usage", params={"group_by": "user,model,route"}).json()["rows"]
    assert [(row["user"], row["model"], row["route"]) for row in rows] == [("Ada%20L.", "imitation", "GENERAL")]


def test_a_repetition_with_the_same_key_is_billed_once(stack: Stack) -> None:
    tenant, mark = stack.new_tenant("door"), {"Idempotency-Key": secrets.token_hex(8)}
    wishes: dict[str, Any] = {"tools": [a_tool()], "extra_headers": mark}
    first = create(stack, tenant, "call:look_up olives", **wishes)
    again = create(stack, tenant, "call:look_up olives", **wishes)
    told = chunks(stack, tenant, "call:look_up olives", **wishes)
    assert again.choices == first.choices
    assert again.id == first.id == told[0].id
    assert told[1].choices[0].delta.tool_calls is not None
    assert totals(stack, tenant)["requests"] == 1


def test_the_clients_own_retries_are_billed_once_where_it_is_told_a_key(stack: Stack) -> None:
    """It sends none by itself: `extra_headers` stay the same for each of its tries."""
    tenant, mark = stack.new_tenant("door"), {"Idempotency-Key": secrets.token_hex(8)}
    with openai_client(stack, tenant, max_retries=3) as client:
        asked: Any = {"model": "atrium", "messages": asking("tokens:3 hello"), "extra_headers": mark}
        raw = client.chat.completions.with_raw_response.create(**asked)
        assert "idempotency-key" not in {name.lower() for name in client.default_headers}
        again = client.chat.completions.with_raw_response.create(**asked)
    assert (raw.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert totals(stack, tenant)["requests"] == 1


def test_models_are_those_that_the_tenant_may_name(stack: Stack) -> None:
    tenant = stack.new_tenant("door")
    with openai_client(stack, tenant) as client:
        assert [model.id for model in client.models.list()] == ["atrium", "imitation"]
        assert client.models.retrieve("imitation").owned_by == "atrium"
        for name in ("gpt-4o", "org/model", "../models"):
            with pytest.raises(NotFoundError) as absent:
                client.models.retrieve(name)
            assert absent.value.response.status_code == 404
    assert create(stack, tenant, model="imitation").model == "imitation"


def test_a_stream_survives_the_comments_of_a_queue(stack: Stack) -> None:
    said = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
    chunk = json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"} | said)
    body = f": queued, position 3\n\n: keep-alive\n\ndata: {chunk}\n\n: keep-alive\n\ndata: [DONE]\n\n".encode()

    def answer(_request: Any) -> Any:
        return transport.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    transport = _transport_of_the_client()
    with OpenAI(
        base_url="http://x/v1", api_key="k", http_client=transport.Client(transport=transport.MockTransport(answer))
    ) as client:
        asked: Any = {"model": "m", "messages": asking("hello"), "stream": True}
        assert text_of(list(client.chat.completions.create(**asked))) == "hi"


def _transport_of_the_client() -> Any:
    """The HTTP library that this version of the client is built on."""
    import openai._base_client as built_on  # noqa: PLC0415  private, and its name changes

    return getattr(built_on, "httpx2", None) or httpx


@pytest.mark.parametrize(("form", "told"), [({"type": "json_object"}, '{"n":[7]}'), ({"type": "text"}, '{"n":}')])
def test_a_list_in_json_is_no_mark_that_cites_nothing(stack: Stack, form: Any, told: str) -> None:
    tenant = stack.new_tenant("door", completions_retrieve=True, min_passage_score=-1)
    with stack.client(tenant) as client:
        client.post(f"/tenant/{tenant}/documents", json={"title": "Oil", "text": "Oil."}).raise_for_status()
    answer = create(stack, tenant, '{"n":[7]}', response_format=form, max_tokens=1)
    assert answer.choices[0].message.content == told
