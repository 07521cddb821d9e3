"""Every string that a client may write into a request is judged by the tenant's rules, or refused, or told to no
engine: whichever field it stands in."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from types import NoneType
from typing import Any

import pytest
from pydantic import BaseModel

from contracts.chat import ChatRequest
from router.domain.openai_request import CompletionRequest
from support.openai_clients import key_of
from support.stack import Stack

Path = tuple[str | int, ...]
WORD = "falcon"
RULE = {"id": "r-in", "type": "contains", "pattern": WORD, "reason": "not for here", "stage": "input"}
JUDGED, REFUSED, UNSENT = "judged", "refused", "told to no engine"

SCHEMA = {"type": "object", "properties": {"a": {"enum": ["b"], "description": None}}}
FUNCTION = {"name": "look_up", "arguments": '{"said": "olives"}', "parsed_arguments": {"said": "olives"}}
CALL = {"id": "c1", "type": "function", "function": FUNCTION, "index": 0}
LARGEST: dict[str, Any] = {
    "model": "atrium",
    "messages": [
        {"role": "system", "content": "Be brief.", "name": "clerk"},
        {"role": "assistant", "content": None, "refusal": "no", "parsed": {"a": "k"}, "reasoning_content": "l"},
        {"role": "user", "content": [{"type": "text", "text": "tokens:2 what do olives cost?"}]},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "9 euros"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "n": 1, "max_tokens": 5, "max_completion_tokens": 5, "temperature": 0, "top_p": 1, "seed": 1,
    "presence_penalty": 0, "frequency_penalty": 0,
    "stop": ["END"],
    "tools": [
        {"type": "function", "function": {"name": "look_up"}},
        {"type": "function", "function": {"name": "f", "description": "g", "parameters": SCHEMA, "strict": True}},
    ],
    "tool_choice": {"type": "function", "function": {"name": "look_up"}},
    "parallel_tool_calls": False,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "h", "description": "i", "schema": SCHEMA, "strict": True},
    },
    "user": "u1",
    "atrium": {"retrieve": False, "session_id": "s1", "locale": "en-US"},
    "service_tier": "auto",
    "prompt_cache_key": "cache-1",
    "prompt_cache_retention": "24h",
    "safety_identifier": "hash-of-a-user",
    "modalities": ["text"],
}  # fmt: skip
"""With every field there is."""
CHAT: dict[str, Any] = {
    "tenant_id": "", "user_id": "u1", "session_id": "s1", "query": "tokens:2 hi", "locale": "en-US", "stream": False
}  # fmt: skip
UNSAID = {
    "messages.0.name": UNSENT,
    "messages.3.tool_calls.0.id": REFUSED,  # the two are one, or the result is that of no call: both are tried below
    "messages.4.tool_call_id": REFUSED,
    "user": UNSENT,
    "messages.1.parsed.a": UNSENT,
    "messages.1.reasoning_content": UNSENT,
    "messages.3.tool_calls.0.function.parsed_arguments.said": UNSENT,
    "prompt_cache_key": UNSENT,
    "prompt_cache_retention": UNSENT,
    "safety_identifier": UNSENT,
    "atrium.session_id": UNSENT,
    "atrium.locale": UNSENT,
    "model": REFUSED,
    "messages.3.tool_calls.0.type": REFUSED,
    "messages.2.content.0.type": REFUSED,
    "tools.0.type": REFUSED,
    "tools.0.function.name": REFUSED,  # the one that must be called is then none of them
    "tools.1.type": REFUSED,
    "tool_choice.type": REFUSED,
    "tool_choice.function.name": REFUSED,
    "response_format.type": REFUSED,
    "service_tier": REFUSED,
    "modalities.0": REFUSED,
} | {f"messages.{at}.role": REFUSED for at in range(5)}
"""What becomes of what is not judged."""


def strings(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where each stands."""
    if isinstance(value, str):
        yield path
    for at, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from strings(item, (*path, at))


def names(value: Any, path: Path = ()) -> Iterator[Path]:
    """Of the free objects' fields."""
    for at, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if {"parameters", "schema"} & set(path):
            yield (*path, at)
        yield from names(item, (*path, at))


def with_word(body: dict[str, Any], path: Path, *, name: bool = False) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    place: Any = changed
    for one in path[:-1]:
        place = place[one]
    if name:
        place[WORD] = place.pop(path[-1])
    else:
        place[path[-1]] = json.dumps({WORD: 1}) if path[-1] == "arguments" else WORD
    return changed


def fate(stack: Stack, tenant: str, url: str, body: dict[str, Any]) -> str:
    before = stack.engine_requests()
    with stack.client(headers={"Authorization": f"Bearer {key_of(stack, tenant)}"}) as client:
        answer = client.post(url, json=body)
    if stack.engine_requests() == before:
        assert answer.is_client_error or '"rule_id":"r-in"' in answer.text
        return REFUSED if answer.is_client_error else JUDGED
    assert answer.is_success
    assert WORD not in json.dumps(stack.last_engine_body()).lower()
    return UNSENT


def models(value: Any) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        yield from models([getattr(value, name) for name in type(value).model_fields])
    elif isinstance(value, list):
        for item in value:
            yield from models(item)


def null_only(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if field.annotation is NoneType}


@pytest.fixture(scope="module")
def tenant(stack: Stack) -> str:
    made = stack.new_tenant("said", refusal_rules=[RULE], rate_limit_per_minute=1_000)
    with stack.client(made) as client:
        until = time.monotonic() + 10
        while len(client.get("/v1/models").json()["data"]) < 2:  # until then it is not known what no model is called
            assert time.monotonic() < until
            time.sleep(0.05)
    return made


def test_the_largest_request_has_every_field_there_is() -> None:
    said: dict[type[BaseModel], set[str]] = {}
    for one in models(CompletionRequest.model_validate(LARGEST)):
        said.setdefault(type(one), set()).update(one.model_fields_set)
    assert {model: set(model.model_fields) - null_only(model) for model in said} == said
    assert set(CHAT) == set(ChatRequest.model_fields)


def test_it_is_answered_where_no_word_of_it_is_refused(stack: Stack, tenant: str) -> None:
    assert fate(stack, tenant, "/v1/chat/completions", LARGEST) == UNSENT


@pytest.mark.parametrize("path", [*strings(LARGEST)], ids=lambda path: ".".join(map(str, path)))
def test_a_string_of_a_completions_request_is_judged_refused_or_not_sent(stack: Stack, tenant: str, path: Path) -> None:
    found = fate(stack, tenant, "/v1/chat/completions", with_word(LARGEST, path))
    assert found == UNSAID.get(".".join(map(str, path)), JUDGED)


def test_the_id_of_a_call_is_told_to_no_engine(stack: Stack, tenant: str) -> None:
    called = with_word(LARGEST, ("messages", 3, "tool_calls", 0, "id"))
    assert fate(stack, tenant, "/v1/chat/completions", with_word(called, ("messages", 4, "tool_call_id"))) == UNSENT


@pytest.mark.parametrize("path", [*names(LARGEST)], ids=lambda path: ".".join(map(str, path)))
def test_a_name_in_a_schema_is_judged(stack: Stack, tenant: str, path: Path) -> None:
    if isinstance(path[-1], str):
        assert fate(stack, tenant, "/v1/chat/completions", with_word(LARGEST, path, name=True)) == JUDGED


@pytest.mark.parametrize("value", [WORD, [WORD], {WORD: WORD}], ids=["a string", "a list", "an object"])
def test_a_field_that_is_not_supported_takes_no_string(stack: Stack, tenant: str, value: Any) -> None:
    fields = null_only(CompletionRequest)
    assert {"logit_bias", "metadata", "prediction"} < fields
    for name in sorted(fields):
        assert fate(stack, tenant, "/v1/chat/completions", LARGEST | {name: value}) == REFUSED
    first = LARGEST["messages"][0]
    for name in ("function_call", "audio", "annotations", "anything"):
        assert fate(stack, tenant, "/v1/chat/completions", LARGEST | {"messages": [first | {name: value}]}) == REFUSED


@pytest.mark.parametrize(
    ("field", "expected"),
    [("query", JUDGED), ("user_id", UNSENT), ("session_id", UNSENT), ("locale", UNSENT), ("tenant_id", REFUSED)],
)
def test_a_string_of_a_chat_request_is_judged_refused_or_not_sent(
    stack: Stack, tenant: str, field: str, expected: str
) -> None:
    assert fate(stack, tenant, "/chat", CHAT | {"tenant_id": tenant} | {field: WORD}) == expected
