"""A body of very many members is one fault at once, whoever sends it; each of them told would stop every stream."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from router.api.bounded import MAX_MEMBERS, members
from support.stack import Stack

WIDE = {f"k{number}": 1 for number in range(120_000)}
MANY = [{f"k{number}": 1 for number in range(100)}] * 1_200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat", {"query": "q", **WIDE}),
        ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "q"}], **WIDE}),
        ("/v1/chat/completions", {"model": "m", "messages": MANY}),
        ("/tenant/{tenant}/search", {"query": "q", **WIDE}),
        ("/tenant/{tenant}/keys", {"label": "l", "role": "tenant_user", **WIDE}),
    ],
)
def test_it_is_one_fault(stack: Stack, path: str, body: dict[str, Any]) -> None:
    tenant = stack.new_tenant("wide")
    with stack.client(tenant) as client:
        answer = client.post(path.replace("{tenant}", tenant), json=body)
    assert answer.status_code == (400 if path.startswith("/v1") else 422)
    assert f"more than {MAX_MEMBERS} members" in answer.json()["error"]["message"]
    assert len(answer.content) < 1_000


def test_a_long_conversation_with_large_tools_is_none(stack: Stack) -> None:
    messages = [{"role": ("user", "assistant")[number % 2], "content": "a word"} for number in range(501)]
    schema = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(50)}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    tools = [{**tool, "function": {**tool["function"], "name": f"f{number}"}} for number in range(60)]
    body = {"model": "atrium", "messages": messages, "tools": tools}
    assert members(body) < MAX_MEMBERS
    tenant = stack.new_tenant("wide")
    with stack.client(tenant) as client:
        answer = client.post("/v1/chat/completions", json=body)
    assert "members" not in answer.text


def test_text_that_is_no_json_has_the_answer_that_it_had(stack: Stack) -> None:
    tenant = stack.new_tenant("wide")
    headers = {"x-tenant-id": tenant, "content-type": "application/json"}
    for text in ("{", "[" * 100_000, json.dumps("a text")):
        assert httpx.post(f"{stack.router}/chat", content=text, headers=headers).status_code == 422
