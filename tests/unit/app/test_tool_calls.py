"""Tool calls out of an engine: put together from pieces, told whole behind the text, counted as they come."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.adapters.completion import ChunkReader
from app.adapters.engine_http import wished
from app.adapters.engine_link import refusal_of
from app.adapters.memory import MemoryEngine
from app.domain.routing import Choice
from app.domain.tool_calls import MAX_CALLS, MAX_CHARS, CallPiece, ToolCalls
from app.engines import Engines
from app.graph import after_memory
from app.nodes.generate import Generate
from app.ports import Delta, TokenCount
from contracts.chat import MetaEvent, ToolCallsEvent
from contracts.conversation import Options, Tool, ToolCall
from contracts.errors import InvalidRequestError, PromptTooLongError, UpstreamError
from support.turns import a_budget, a_request, a_route, a_runtime, kept


def chunk(*calls: Any, **usage: int) -> bytes:
    choice = {"delta": {"tool_calls": list(calls)}, "finish_reason": None}
    return orjson.dumps({"choices": [choice], "usage": usage or None})


def test_pieces_become_calls_in_the_order_of_their_numbers() -> None:
    calls = ToolCalls()
    for piece in (CallPiece(1, "b", "two", "{"), CallPiece(0, "a", "one"), CallPiece(1, arguments='"x":1}')):
        calls.add(piece)
    assert calls.whole() == (
        ToolCall(id="a", name="one", arguments="{}"),
        ToolCall(id="b", name="two", arguments='{"x":1}'),
    )


def test_a_call_without_a_name_is_none_and_one_without_an_id_gets_one() -> None:
    calls = ToolCalls()
    calls.add(CallPiece(0, arguments="{}"))
    calls.add(CallPiece(1, name="f"))
    (call,) = calls.whole()
    assert call.name == "f"
    assert call.id.startswith("call_")


_TOO_MANY = [CallPiece(at, name="f") for at in range(MAX_CALLS + 1)]
_TOO_LONG = [CallPiece(0, arguments="x" * (MAX_CHARS + 1))]


@pytest.mark.parametrize("pieces", [_TOO_MANY, _TOO_LONG])
def test_an_engine_that_calls_without_end_is_stopped(pieces: list[CallPiece]) -> None:
    calls = ToolCalls()
    with pytest.raises(UpstreamError):
        list(map(calls.add, pieces))


def test_a_piece_of_a_call_counts_as_one_of_text_does() -> None:
    reader = ChunkReader(prompt_chars=400)
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert reader.read(chunk(first)) == Delta("", TokenCount(100, 1), None, (CallPiece(0, "c1", "f"),))
    more = reader.read(chunk({"index": 0, "function": {"arguments": "{}"}}, prompt_tokens=9, completion_tokens=7))
    assert more == Delta("", TokenCount(9, 7), None, (CallPiece(0, arguments="{}"),))


@pytest.mark.parametrize(
    "call", [7, "f", None, {"index": "0"}, {"function": {"name": 7}}, {"function": {"arguments": [1]}}, {"id": 1}]
)
def test_what_is_no_call_is_no_completion(call: Any) -> None:
    with pytest.raises(UpstreamError):
        ChunkReader(0).read(chunk(call))


async def test_calls_are_told_whole_behind_the_text_and_what_they_used_before() -> None:
    pieces = (CallPiece(0, "c1", "f", '{"a"'), CallPiece(0, arguments=":1}"))
    runtime = a_runtime()
    state: Any = {"route": a_route("A"), "choice": Choice(a_route("A"), 0.0)}
    await Generate(Engines(MemoryEngine(("Look", "ing"), calls=pieces)), a_budget())(state, runtime)
    meta, *texts, progress, told = kept(runtime)
    assert isinstance(meta, MetaEvent)
    assert [delta.text for delta in texts if isinstance(delta, Delta)] == ["Look", "ing"]
    assert isinstance(progress, Delta)
    assert (progress.text, progress.tokens.completion) == ("", 2)
    assert told == ToolCallsEvent(calls=(ToolCall(id="c1", name="f", arguments='{"a":1}'),))


@pytest.mark.parametrize(("route", "wish", "next_node"), [
    (True, None, "retrieve"), (False, None, "generate"), (True, False, "generate"), (False, True, "retrieve"),
])  # fmt: skip
def test_a_request_may_say_whether_is_retrieved(route: bool, wish: bool | None, next_node: str) -> None:
    runtime = a_runtime(request=a_request(options=Options(retrieve=wish)))
    state: Any = {"route": a_route("A", retrieve=route), "refusal": None}
    assert after_memory(state, runtime.context) == next_node


def test_a_description_of_a_tool_ends_no_message() -> None:
    tool = Tool(name="f", description="<|im_end|>", parameters={"enum": ["[INST]", ["a", None]]})
    (told,) = wished(Options(tools=(tool,)))["tools"]
    assert told["function"] == {
        "name": "f",
        "description": "(|im_end|>",
        "parameters": {"enum": ["(INST]", ["a", None]]},
    }


@pytest.mark.parametrize(
    ("body", "wishes", "says"),
    [
        (b'{"message": "\\"auto\\" tool choice requires --enable-auto-tool-choice"}', {"tools"}, "tools:"),
        (b'{"message": "Failed to convert the grammar"}', {"response_format", "seed"}, "response_format:"),
        (b"{}", {"seed", "stop"}, "one of seed, stop"),
    ],
)
def test_an_engine_that_cannot_do_what_was_wished_is_no_failure(body: bytes, wishes: set[str], says: str) -> None:
    failed = refusal_of(400, body, {}, wishes)
    assert isinstance(failed.error, InvalidRequestError)
    assert says in failed.error.message
    assert not failed.again
    assert not failed.fault
    assert isinstance(refusal_of(400, b"maximum context length", {}, wishes).error, PromptTooLongError)
    assert isinstance(refusal_of(400, body, {}).error, UpstreamError)
