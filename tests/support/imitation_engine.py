"""An IMITATION of an OpenAI-compatible engine, for tests and benches that are about our own hops, not about a model.

It generates nothing: the answer quotes the last user message, word by word, again and again up to the wanted length.
It counts exactly (a token is a word), honours `max_tokens` and `stream_options`, remembers what it was asked, and
whether the client stayed to the end. Words in the last user message make it misbehave: see `FAULTS`.
Told to call one of the request's tools, or asked to with `call:NAME` in a user's message, it calls it with that message
as the argument `said`, in pieces of `cut:N` characters, a token each.

    python tests/support/imitation_engine.py --port 8100 [--tokens 64] [--interval-ms 10]
        [--max-seqs 16] [--tokens-per-second 340]

With `--max-seqs` it works on so many requests at once and the others wait, the lowest `priority` first, then in order
of arrival; with `--tokens-per-second` all streams share that speed. It imitates a queue and a shared speed, and nothing
else of a real engine: no prefill, no batch that grows slower, no cache.

GET /metrics has vLLM's names. GET /imitation/requests lists what was asked, oldest first; DELETE forgets it.
GET /imitation/counts is the engine's own count: what it had generated of each request when that ended or was stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

MODEL = "imitation"
MAX_MODEL_LEN = 4096

FAULTS = {
    "fault:hang-before-headers": "takes the request and never answers",
    "fault:hang": "answers with headers, then never with a token",
    "fault:stall": "stops after three tokens, and keeps the connection open",
    "fault:die": "cuts the connection after three tokens",
    "fault:cut": "ends the body properly after three tokens, without a finish reason and [DONE]",
    "fault:garbage": "sends three tokens, then data that is not JSON",
    "fault:nonsense": "sends three tokens, then JSON that is no completion",
    "fault:wrong-usage": "sends three tokens, then a chunk that says that fewer than none were used",
    "fault:error-event": "sends three tokens, then an error object, as vLLM does",
    "fault:wrong-schema": "sends an error object that says 400 before the first token, as vLLM does of a schema",
    "fault:big-event": "sends three tokens, then one event of 10 MB",
    "fault:error-first": "sends an error object before the first token",
    "fault:die-first": "cuts the connection before the first token",
    "fault:garbage-first": "sends data that is not JSON before the first token",
    "fault:big-event-first": "sends one event of 10 MB before the first token",
    "fault:endless-line": "sends three tokens, then a line that never ends",
    "fault:no-usage": "never says what was used",
    "fault:split": "cuts every event into single bytes, so that characters arrive in pieces",
    "fault:http400-context": "400, in vLLM's words for a prompt that is too long",
    "fault:http400-tools": "400, in vLLM's words where it was not started to call tools",
    "fault:http400-schema": "400, in vLLM's words for a schema that it can make no grammar of",
    "fault:http404": "404, in vLLM's words for an unknown model",
    "fault:http500": "500 without a body",
    "fault:http503": "503 with Retry-After, as vLLM does with its queue full",
    "fault:html": "200 with an HTML page, as a wrong proxy does",
}
_SHOWN = ("body", "authorization", "client_port", "tokens_sent", "disconnected", "finished")
_FAULT = re.compile(r"fault:[a-z0-9-]+")
_TOKENS = re.compile(r"tokens:(\d+)")
_CACHED = re.compile(r"cached:(\d+)")
"""So many tokens of the prompt are said to come from the prefix cache, at the end, as vLLM says it."""
_CALL, _CUT = re.compile(r"call:([\w.-]+)"), re.compile(r"cut:(\d+)")
_NO_TOOLS = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
_NO_GRAMMAR = "Failed to convert the grammar from JSON schema to GBNF"
_TOO_LONG = (
    f"This model's maximum context length is {MAX_MODEL_LEN} tokens. However, your prompt contains at least "
    f"{MAX_MODEL_LEN + 1} input tokens. Please reduce the length of the input prompt."
)


@dataclass(slots=True)
class Asked:
    """One request, as `/imitation/requests` shows it."""

    body: dict[str, Any]
    authorization: str | None
    client_port: int
    tokens_sent: int = 0
    disconnected: bool = False
    finished: bool = False
    request_id: str = ""
    traceparent: str | None = None
    asked_at: float = field(default_factory=time.monotonic)
    generated_at: list[float] = field(default_factory=list)
    """When each token was there. `time.monotonic`, which all processes of a machine have in common."""
    ended_at: float | None = None

    def shown(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SHOWN}

    def counted(self) -> dict[str, Any]:
        """As vLLM counts: a prompt has been worked through when its first token is there."""
        return {
            "request_id": self.request_id,
            "prompt_tokens": prompt_tokens(self.body) if self.tokens_sent else 0,
            "completion_tokens": self.tokens_sent,
            "asked_at": self.asked_at,
            "generated_at": self.generated_at,
            "ended_at": self.ended_at,
        }


@dataclass(slots=True)
class Sequences:
    """At most `most` at once (None: no bound), sharing `tokens_per_s` (None: each as fast as it is told to be)."""

    most: int | None = None
    tokens_per_s: float | None = None
    running: int = 0
    _waiting: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)
    _arrivals: int = 0

    @property
    def waiting(self) -> int:
        return sum(not turn.done() for _, _, turn in self._waiting)

    async def enter(self, priority: int) -> None:
        if self.most is None or (self.running < self.most and not self.waiting):
            self.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        heapq.heappush(self._waiting, (priority, self._arrivals, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # it was given its turn in the moment in which it left
            raise

    def leave(self) -> None:
        self.running -= 1
        while self._waiting and (self.most is None or self.running < self.most):
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self.running += 1
                turn.set_result(None)

    def step_s(self, interval_s: float) -> float:
        """Between two tokens of one stream."""
        return max(interval_s, self.running / self.tokens_per_s) if self.tokens_per_s else interval_s


@dataclass(slots=True)
class Imitation:
    """`tokens` is the length of an answer (`tokens:N` in the message overrides it), `interval_s` the time between."""

    tokens: int = 32
    interval_s: float = 0.0
    sequences: Sequences = field(default_factory=Sequences)
    fault: str = ""
    """What it does whatever it is asked."""
    healthy: bool = True
    metrics_take_s: float = 0.0
    adapters: tuple[str, ...] = ()
    """LoRA adapters that it serves beside its model."""
    asked: list[Asked] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, what: Callable[[list[Asked]], bool], timeout_s: float = 5.0) -> bool:
        """For a test in another thread: wait until `what` is true of the requests so far; false if it never was."""
        with self._changed:
            return self._changed.wait_for(lambda: what(self.asked), timeout_s)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/v1/models", self._models),
                Route("/metrics", self._metrics),
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/tokenize", _tokenize, methods=["POST"]),
                Route("/imitation/requests", self._requests, methods=["GET", "DELETE"]),
                Route("/imitation/counts", self._counts),
            ]
        )

    async def _metrics(self, _request: Request) -> Response:
        values = {
            "num_requests_running": self.sequences.running,
            "num_requests_waiting": self.sequences.waiting,
            "kv_cache_usage_perc": self.sequences.running / (self.sequences.most or 1024),
        }
        await asyncio.sleep(self.metrics_take_s)
        labels = f'{{engine="0",model_name="{MODEL}"}}'
        lines = (
            f"# HELP vllm:{name} Imitated.\n# TYPE vllm:{name} gauge\nvllm:{name}{labels} {float(value)}\n"
            for name, value in values.items()
        )
        return PlainTextResponse("".join(lines))

    async def _health(self, _request: Request) -> Response:
        return Response(status_code=200 if self.healthy else 503)

    async def _models(self, _request: Request) -> Response:
        base = {"object": "model", "created": 0, "owned_by": "atrium", "max_model_len": MAX_MODEL_LEN}
        models = [{"id": MODEL, "parent": None, **base}]
        models += [{"id": name, "parent": MODEL, **base} for name in self.adapters]
        return JSONResponse({"object": "list", "data": models})

    async def _requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.asked.clear()
        return JSONResponse([asked.shown() for asked in self.asked])

    async def _counts(self, _request: Request) -> Response:
        return JSONResponse([asked.counted() for asked in self.asked])

    async def _complete(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        asked = Asked(
            body,
            request.headers.get("authorization"),
            request.client.port if request.client else 0,
            request_id=request.headers.get("x-request-id", ""),
            traceparent=request.headers.get("traceparent"),
        )
        self.asked.append(asked)
        self._notify()
        message = str(body["messages"][-1]["content"])
        found = _FAULT.search(message)
        fault = found[0] if found else self.fault
        if fault and fault not in FAULTS:
            raise ValueError(f"no such fault: {fault}")
        refusal = _refusal(fault)
        if refusal is not None:
            asked.ended_at = time.monotonic()
            return refusal
        wanted = _TOKENS.search(message)
        length = min(int(wanted[1]) if wanted else self.tokens, int(body.get("max_tokens") or MAX_MODEL_LEN))
        words = message.split() or ["…"]
        answer = [words[0], *(f" {words[at % len(words)]}" for at in range(1, length))]
        if not body.get("stream"):
            return JSONResponse(_whole(body, answer))
        call = _called(body)
        if call is not None:
            answer = _pieces_of_call(call, message)
        return _Stream(asked, answer, fault, self.interval_s, self.sequences, self._notify, call)


class _Stream(Response):
    """Watches the connection while it writes: Starlette's own streaming would only notice when it writes again."""

    def __init__(
        self,
        asked: Asked,
        answer: list[str],
        fault: str,
        interval_s: float,
        sequences: Sequences,
        notify: Callable[[], None],
        call: str | None,
    ) -> None:
        super().__init__()
        self._call = call
        self._sequences = sequences
        self._asked, self._answer, self._fault, self._interval_s = asked, answer, fault, interval_s
        self._notify = notify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.ensure_future(self._write(send))
        leaving = asyncio.ensure_future(receive())  # the body is read: the next message is the disconnect
        await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        self._asked.finished = writing.done()
        self._asked.disconnected = not writing.done()
        self._notify()
        for task in (writing, leaving):
            task.cancel()
        await asyncio.gather(writing, leaving, return_exceptions=True)
        self._asked.ended_at = time.monotonic()

    async def _write(self, send: Send) -> None:
        if self._fault == "fault:hang-before-headers":
            await asyncio.Event().wait()
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await self._sequences.enter(int(self._asked.body.get("priority") or 0))
        try:
            async for event in self._events():
                for piece in _single_bytes(event) if self._fault == "fault:split" else (event,):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            self._sequences.leave()
        # Returning without an end makes uvicorn cut the connection.
        if self._fault not in {"fault:die", "fault:die-first"}:
            await send({"type": "http.response.body", "body": b""})

    async def _events(self) -> AsyncIterator[bytes]:
        if self._fault == "fault:hang":
            await asyncio.Event().wait()
        options = self._asked.body.get("stream_options") or {}
        final = bool(options.get("include_usage")) and self._fault != "fault:no-usage"
        running = final and bool(options.get("continuous_usage_stats"))
        yield _chunk(self._asked, {"role": "assistant", "content": ""}, usage=running)
        breaks = self._fault in _BREAKS
        said = 0 if self._fault.endswith(("-first", "wrong-schema")) else 3
        for token in self._answer[:said] if breaks else self._answer:
            if step_s := self._sequences.step_s(self._interval_s):
                await asyncio.sleep(step_s)
            self._asked.tokens_sent += 1
            self._asked.generated_at.append(time.monotonic())
            delta = {"content": token} if self._call is None else self._call_delta(token)
            yield _chunk(self._asked, delta, usage=running)
        if breaks:
            async for event in _BREAKS[self._fault]():
                yield event
            return
        reason = "length" if len(self._answer) == self._asked.body.get("max_tokens") else "stop"
        if self._call is not None and reason == "stop" and _chosen(self._asked.body) is None:
            reason = "tool_calls"  # vLLM says `stop` where it was told which to call
        yield _chunk(self._asked, {}, usage=running, finish_reason=reason)
        if final:
            usage = _usage(self._asked) | _details(self._asked)
            yield b"data: " + orjson.dumps({"choices": [], "usage": usage}) + b"\n\n"
        yield b"data: [DONE]\n\n"

    def _call_delta(self, piece: str) -> dict[str, Any]:
        """As vLLM tells a call: who is called first, then only what is added to the arguments."""
        if self._asked.tokens_sent > 1:
            return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        function = {"name": self._call, "arguments": piece}
        return {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}


async def _stall() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def _endless() -> AsyncIterator[bytes]:
    yield b"data: "
    while True:
        yield b"x" * 65_536
        await asyncio.sleep(0)


def _then(*events: bytes) -> Callable[[], AsyncIterator[bytes]]:
    async def send() -> AsyncIterator[bytes]:
        for event in events:
            yield event

    return send


_BIG_EVENT = b'data: {"choices": [{"delta": {"content": "' + b"x" * 10_000_000 + b'"}}]}\n\n'
_BREAKS: dict[str, Callable[[], AsyncIterator[bytes]]] = {
    "fault:stall": _stall,
    "fault:die": _then(),
    "fault:cut": _then(),
    "fault:garbage": _then(b"data: {not json\n\n"),
    "fault:nonsense": _then(b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'),
    "fault:wrong-usage": _then(b'data: {"choices": [], "usage": {"prompt_tokens": -5, "completion_tokens": -1}}\n\n'),
    "fault:error-event": _then(b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n'),
    "fault:wrong-schema": _then(b'data: {"error": {"message": "Grammar error: Invalid type", "code": 400}}\n\n'),
    "fault:big-event": _then(_BIG_EVENT),
    "fault:error-first": _then(b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n'),
    "fault:die-first": _then(),
    "fault:garbage-first": _then(b"data: {not json\n\n"),
    "fault:big-event-first": _then(_BIG_EVENT),
    "fault:endless-line": _endless,
}


_STATUSES: dict[str, tuple[int, str, dict[str, str]]] = {
    "fault:http400-context": (400, _TOO_LONG, {}),
    "fault:http400-tools": (400, _NO_TOOLS, {}),
    "fault:http400-schema": (400, _NO_GRAMMAR, {}),
    "fault:http404": (404, "The model does not exist.", {}),
    "fault:http503": (503, "queue full", {"retry-after": "3"}),
}


def _refusal(fault: str) -> Response | None:
    if fault in _STATUSES:
        status, message, headers = _STATUSES[fault]
        error = {"message": message, "type": "BadRequestError", "code": status}
        return JSONResponse({"error": error}, status_code=status, headers=headers)
    if fault == "fault:http500":
        return PlainTextResponse("", status_code=500)
    if fault == "fault:html":
        return Response("<html>welcome</html>", media_type="text/html")
    return None


def _chosen(body: dict[str, Any]) -> str | None:
    choice = body.get("tool_choice")
    return str(choice["function"]["name"]) if isinstance(choice, dict) else None


def _called(body: dict[str, Any]) -> str | None:
    """The name of the tool that is called."""
    last = body["messages"][-1]
    found = _CALL.search(str(last["content"])) if last["role"] == "user" else None
    if not body.get("tools") or body.get("tool_choice") == "none":
        return None
    return _chosen(body) or (found[1] if found else None)


def _pieces_of_call(name: str, message: str) -> list[str]:
    """The arguments of a call, escaped as JSON allows."""
    said = message.replace(f"call:{name}", "").strip()
    arguments, cut = json.dumps({"said": said}), _CUT.search(message)
    size = int(cut[1]) if cut else 7
    return [arguments[at : at + size] for at in range(0, len(arguments), size)]


def prompt_tokens(body: dict[str, Any]) -> int:
    return sum(len(str(message["content"]).split()) for message in body["messages"])


def _usage(asked: Asked) -> dict[str, int]:
    prompt, completion = prompt_tokens(asked.body), asked.tokens_sent
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _details(asked: Asked) -> dict[str, Any]:
    cached = _CACHED.search(str(asked.body["messages"][-1]["content"]))
    return {"prompt_tokens_details": {"cached_tokens": int(cached[1])}} if cached else {}


def _chunk(asked: Asked, delta: dict[str, Any], *, usage: bool, finish_reason: str | None = None) -> bytes:
    chunk: dict[str, Any] = {
        "id": "chatcmpl-imitation",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }
    if usage:
        chunk["usage"] = _usage(asked)
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _whole(body: dict[str, Any], answer: list[str]) -> dict[str, Any]:
    prompt = prompt_tokens(body)
    return {
        "id": "chatcmpl-imitation",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "".join(answer)}, "finish_reason": "stop"}
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": len(answer),
            "total_tokens": prompt + len(answer),
        },
    }


def _single_bytes(event: bytes) -> Iterator[bytes]:
    return (event[at : at + 1] for at in range(len(event)))


async def _tokenize(request: Request) -> Response:
    """As vLLM's, of a text: a token is a word here."""
    body = orjson.loads(await request.body())
    tokens = list(range(len(str(body["prompt"]).split())))
    return JSONResponse({"count": len(tokens), "max_model_len": MAX_MODEL_LEN, "tokens": tokens, "token_strs": None})


@contextmanager
def running_imitation(
    *, tokens: int = 32, interval_s: float = 0.0, sequences: Sequences | None = None
) -> Iterator[tuple[str, Imitation]]:
    """The imitation on a free port; gives its address and itself, whose `asked` a test may read and clear."""
    from support.server import served  # noqa: PLC0415  the script below runs where the tests' package is not found

    imitation = Imitation(tokens, interval_s, sequences or Sequences())
    with served(imitation.app()) as url:
        yield url, imitation


@contextmanager
def running_engine(*, tokens: int = 32, interval_s: float = 0.0) -> Iterator[str]:
    """The same for those who need the address only."""
    with running_imitation(tokens=tokens, interval_s=interval_s) as (url, _imitation):
        yield url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--interval-ms", type=float, default=0.0)
    parser.add_argument("--max-seqs", type=int)
    parser.add_argument("--tokens-per-second", type=float)
    options = parser.parse_args()
    sequences = Sequences(options.max_seqs, options.tokens_per_second)
    imitation = Imitation(options.tokens, options.interval_ms / 1000, sequences)
    uvicorn.run(imitation.app(), host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
