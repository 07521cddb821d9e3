"""A completions request: what it becomes, and what is refused of it, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.chat import TurnRequest
from contracts.conversation import Message, ToolCall
from contracts.errors import InvalidRequestError
from router.domain.asked import Asked
from router.domain.openai_asked import MAX_BYTES, asked_of
from router.domain.openai_request import MAX_MESSAGES, MAX_TOOLS, CompletionRequest

HELLO = [{"role": "user", "content": "hello"}]
LOOK_UP = {
    "type": "function",
    "function": {"name": "look_up", "description": "Prices.", "parameters": {"type": "object"}},
}
CALLED: dict[str, Any] = {
    "id": "c1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"what": "olives"}'},
}


def read(retrieve: bool = False, **body: Any) -> Asked:
    said = json.loads(json.dumps({"model": "m", "messages": HELLO} | body))
    return asked_of(CompletionRequest.model_validate(said), user_id=None, model=None, retrieve=retrieve)


def fault(**body: Any) -> str:
    """What it is refused with."""
    with pytest.raises((ValidationError, InvalidRequestError)) as refused:
        read(**body)
    error = refused.value
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return error.message


def test_the_question_is_what_the_user_said_last() -> None:
    asked = read(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "developer", "content": [{"type": "text", "text": "No"}, {"type": "text", "text": "jokes."}]},
            {"role": "user", "content": "what do olives cost?"},
            {"role": "assistant", "content": None, "tool_calls": [CALLED]},
            {"role": "tool", "tool_call_id": "c1", "content": "9 euros", "name": "look_up"},
        ]
    )
    said = asked.conversation

    assert asked.query == "what do olives cost?"
    assert said.instruction == "Be brief.\n\nNo\njokes."
    assert said.before == (Message(role="user", content="hi"), Message(role="assistant", content="hello"))
    call = ToolCall(id="call00001", name="look_up", arguments='{"what": "olives"}')
    assert said.after == (
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="9 euros", tool_call_id="call00001"),
    )


def test_calls_keep_their_results_under_ids_that_are_ours() -> None:
    """Whatever the client's are: also where a later call has the id of an earlier one."""

    def turn(*ids: str) -> list[dict[str, Any]]:
        results = [{"role": "tool", "tool_call_id": one, "content": one} for one in reversed(ids)]
        return [*HELLO, {"role": "assistant", "tool_calls": [CALLED | {"id": one} for one in ids]}, *results]

    said = read(messages=[*turn("toolu_1", "{x}!"), *turn("call00001", "toolu_1"), *turn()[:1]]).conversation
    told = [
        (*(call.id for call in one.tool_calls), one.tool_call_id or "") for one in said.before if one.role != "user"
    ]

    first, second, third = "call00001", "call00002", "call00003"
    assert told == [(first, second, ""), (second,), (first,), (third, first, ""), (first,), (third,)]


def test_what_clients_send_of_an_answer_they_got_is_taken_back() -> None:
    """As `message.model_dump()` of the official client has it."""
    said = {"role": "assistant", "content": "hello", "refusal": None, "annotations": None, "audio": None}
    more = {"function_call": None, "tool_calls": None}
    asked = read(messages=[*HELLO, said | more, {"role": "user", "content": "and?"}])

    assert asked.conversation.before[-1] == Message(role="assistant", content="hello")


def test_what_clients_add_to_an_answer_when_they_read_it_is_told_to_nobody() -> None:
    """As the `parse` and `stream` of the official client, and the chunks of a stream put together by hand, have it."""
    function = CALLED["function"] | {"parsed_arguments": {"what": "secret"}}
    said = {"role": "assistant", "content": "hello", "parsed": {"a": "secret"}, "reasoning_content": "secret"}
    called = said | {"tool_calls": [CALLED | {"index": 0, "function": function}]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "9"}
    asked = read(messages=[*HELLO, called, result, *HELLO])

    assert asked.conversation.before[1].tool_calls[0].arguments == CALLED["function"]["arguments"]
    assert "secret" not in repr(asked)


def test_a_call_without_arguments_may_be_told_as_an_empty_text() -> None:
    called = {"role": "assistant", "tool_calls": [CALLED | {"function": {"name": "f", "arguments": ""}}]}
    asked = read(messages=[*HELLO, called, {"role": "tool", "tool_call_id": "c1", "content": "9"}])

    assert asked.conversation.after[0].tool_calls[0].arguments == "{}"


def test_wishes_become_options() -> None:
    schema = {"name": "price", "schema": {"type": "object", "properties": {"a": {"default": None}}}, "strict": True}
    asked = read(
        max_tokens=5, max_completion_tokens=7, temperature=0, top_p=1, seed=3, stop="END", tools=[LOOK_UP],
        tool_choice={"type": "function", "function": {"name": "look_up"}}, parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": schema}, n=1, stream=True,
        stream_options={"include_usage": True}, logprobs=False, logit_bias=None, store=False, metadata={},
        atrium={"retrieve": True, "session_id": "s1", "locale": "de-DE"}, user="u1",
    )  # fmt: skip
    options = asked.options

    assert (options.max_tokens, options.temperature, options.top_p, options.seed, options.stop) == (
        7,
        0,
        1,
        3,
        ("END",),
    )
    assert (options.tools[0].name, options.tool_choice, options.parallel_tool_calls) == ("look_up", "=look_up", False)
    assert options.response_format == {"type": "json_schema", "json_schema": schema}
    assert (options.retrieve, asked.session_id, asked.locale) == (True, "s1", "de-DE")


@pytest.mark.parametrize(
    ("named", "user_id"),
    [("ada@example.com", "ada@example.com"), ("Ada L.", "Ada%20L."), ("Ada%20L.", "Ada%2520L."), ("é", "%C3%A9"),
     ("a\0\nb", "a%00%0Ab"), ("", None), (None, None)],
)  # fmt: skip
def test_any_user_has_a_user_id_and_no_two_the_same(named: str | None, user_id: str | None) -> None:
    body = CompletionRequest.model_validate({"model": "atrium", "messages": HELLO, "user": named})
    assert body.user == user_id


def test_retrieval_is_as_the_request_says_else_as_the_tenant_does() -> None:
    assert [read(retrieve=default).options.retrieve for default in (False, True)] == [False, True]
    assert read(retrieve=True, atrium={"retrieve": False}).options.retrieve is False
    assert read(retrieve=True, atrium={"retrieve": None}).options.retrieve is True


UNKNOWN: list[tuple[str, Any]] = [
    ("logprobs", True), ("top_logprobs", 2), ("logit_bias", {"1": 100}), ("n", 2), ("n", 0), ("n", True),
    ("best_of", 2), ("cache_salt", "x"), ("priority", 1), ("chat_template", "{{x}}"), ("chat_template_kwargs", {}),
    ("api_base", "http://x"),
    ("guided_json", {}), ("guided_regex", "a"), ("structured_outputs", {}), ("prompt", ["a", "b"]), ("store", True),
    ("metadata", {"a": "b"}), ("functions", []), ("function_call", "auto"), ("audio", {}), ("modalities", ["audio"]),
    ("reasoning_effort", "high"), ("extra_body", {}), ("add_generation_prompt", False), ("documents", []),
    ("service_tier", "priority"), ("temperature", "0.5"), ("temperature", 2.1), ("top_p", 0), ("max_tokens", 0),
    ("max_tokens", 1.5), ("seed", 2**63), ("stop", ["a"] * 5), ("stop", ""), ("stop", "x" * 129), ("stop", 7),
    ("stream", "yes"), ("stream_options", {"include_usage": True}), ("model", ""), ("messages", []),
    ("messages", "hello"), ("tool_choice", "required"), ("tool_choice", "any"), ("user", "x" * 129), ("user", "é" * 30),
    ("tool_choice", {"type": "function", "function": {"name": "other"}}),
    ("tool_choice", {"type": "allowed_tools", "allowed_tools": {}}),
    ("response_format", {"type": "structural_tag"}), ("response_format", {"type": "json_schema"}),
    ("response_format", {"type": "json_object", "grammar": "x"}), ("atrium", {"tenant_id": "t2"}),
    ("atrium", {"cache_salt": "x"}), ("stream_options", {"continuous_usage_stats": True}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), UNKNOWN)
def test_what_is_not_on_the_list_is_refused_by_its_name(name: str, value: Any) -> None:
    assert fault(**{name: value}).startswith(name)


NESTED: list[tuple[str, Any]] = [
    ("messages.0", [{"role": "user", "content": "hi", "cache_control": {}}]),
    ("messages.0", [{"role": "function", "content": "hi", "name": "f"}]),
    ("messages.0.content", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}]),
    ("messages.0.content", [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]),
    ("messages.0.content", [{"role": "user", "content": [{"type": "text", "text": "a", "uuid": "x"}]}]),
    ("messages.0.content", [{"role": "user", "content": ["a"]}]),
    ("messages.0.content", [{"role": "user", "content": 7}]),
    ("messages.0.content", [{"role": "user", "content": "a\0b"}]),
    ("messages.0.content", [{"role": "user", "content": "x" * 40_000}]),
    ("messages[0].content", [{"role": "user", "content": "  "}]),
    ("messages[0].content", [{"role": "user"}]),
    ("messages", [{"role": "system", "content": "hi"}]),
    ("messages[1].tool_call_id", [*HELLO, {"role": "tool", "content": "9"}]),
    ("messages[1].tool_call_id", [*HELLO, {"role": "tool", "content": "9", "tool_call_id": "c1"}]),
    ("messages[2].tool_call_id", [
        *HELLO, {"role": "assistant", "tool_calls": [CALLED]}, {"role": "tool", "content": "9", "tool_call_id": "c2"}]),
    ("messages[3].tool_call_id", [
        *HELLO, {"role": "assistant", "tool_calls": [CALLED]}, *HELLO,
        {"role": "tool", "content": "9", "tool_call_id": "c1"}]),
    ("messages[0].tool_call_id", [{"role": "tool", "content": "9", "tool_call_id": "c1"}, *HELLO]),
    ("messages[0].tool_call_id", [{"role": "user", "content": "hi", "tool_call_id": "c1"}]),
    ("messages[0]", [{"role": "user", "content": "hi", "tool_calls": [CALLED]}]),
    ("messages.1.tool_calls.0", [*HELLO, {"role": "assistant", "tool_calls": [CALLED | {"type": "custom"}]}]),
    ("messages.1.tool_calls.0", [*HELLO, {"role": "assistant", "tool_calls": [CALLED | {"result": "9"}]}]),
    ("messages[1].tool_calls[0].function.arguments",
     [*HELLO, {"role": "assistant", "tool_calls": [CALLED | {"function": {"name": "f", "arguments": "{"}}]}]),
    ("messages.1.function_call", [*HELLO, {"role": "assistant", "function_call": {"name": "f", "arguments": ""}}]),
    ("messages", HELLO * (MAX_MESSAGES + 1)),
    ("messages", [{"role": "user", "content": "x" * 30_000}] * (MAX_BYTES // 30_000 + 1)),
]  # fmt: skip


@pytest.mark.parametrize(("place", "messages"), NESTED)
def test_a_message_has_what_its_role_has(place: str, messages: Any) -> None:
    assert fault(messages=messages).startswith(place)


def of_tool(**function: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "f"} | function}]


@pytest.mark.parametrize(
    ("place", "tools"),
    [
        ("tools.0.type", [{"type": "custom", "custom": {}}]),
        ("tools.0.type", [{"type": "web_search", "function": {"name": "f"}}]),
        ("tools.0.function.name", of_tool(name="a b")),
        ("tools.0.function.name", of_tool(name="x" * 65)),
        ("tools.0.function.implementation", of_tool(implementation="os.system")),
        ("tools.0.function.description", of_tool(description="x" * 9_000)),
        ("tools[1].function.name", of_tool() * 2),
        ("tools", [LOOK_UP] * (MAX_TOOLS + 1)),
        ("tools[0].function.parameters", of_tool(parameters={"maxItems": 10**9})),
    ],
)
def test_a_tool_is_a_function_and_nothing_else(place: str, tools: Any) -> None:
    assert fault(tools=tools).startswith(place)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = sorted(CompletionRequest.model_fields)
_LIKELY = st.sampled_from(
    [
        "user", "tool", "assistant", "function", "auto", [LOOK_UP], {"type": "json_object"}, "\ud800", "\0", 10**400,
        float("nan"), {"$ref": "#"}, [CALLED], {"type": "function", "function": {"name": "look_up"}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": [10**30, float("inf")]}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"\ud800": 1}}},
        [{"type": "function", "function": {"name": "f", "parameters": {"a": [2**70]}}}],
    ]
)  # fmt: skip
_MESSAGES = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "name", "tool_calls", "tool_call_id", "refusal"]),
        _LIKELY | _JSON,
        max_size=4,
    )
    | st.just({"role": "user", "content": "hello"}),
    max_size=4,
)


@given(st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=8), _LIKELY | _JSON, max_size=5), _MESSAGES | _JSON)
def test_whatever_is_sent_is_read_or_refused_and_what_is_read_can_be_sent_on(body: Any, messages: Any) -> None:
    try:
        request = CompletionRequest.model_validate({"model": "m", "messages": messages} | body)
        asked = asked_of(request, user_id=None, model=None, retrieve=False)
    except (ValidationError, InvalidRequestError):
        return
    asked.fingerprint()
    turn = TurnRequest(
        query=asked.query, conversation=asked.conversation, options=asked.options, locale="en-US", routes=()
    )
    assert TurnRequest.model_validate_json(turn.model_dump_json()) == turn


def test_what_is_redacted_of_arguments_leaves_them_json() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"card": 4111111111111111}'}}
    asked = read(messages=[*HELLO, {"role": "assistant", "tool_calls": [call]}])
    texts = [text.replace("4111111111111111", "[CARD]") for text in asked.texts()]

    (message,) = asked.with_texts(texts).conversation.after
    assert json.loads(message.tool_calls[0].arguments) == {"arguments": '{"card": [CARD]}'}
