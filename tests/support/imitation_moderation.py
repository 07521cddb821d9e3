"""An imitation of both moderation services on a real loopback socket: OpenAI's API and Bedrock's ApplyGuardrail."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

UNFIT = "unfit words"
"""A text that contains this is flagged, for violence above all."""


@dataclass(frozen=True)
class Question:
    path: str
    headers: Mapping[str, str]
    text: str
    body: Mapping[str, Any]


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]
"""Sends something, given the right answer's body."""


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"content-length": str(len(body)), "content-type": "application/json", **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def right(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    _send(handler, 200, body)


def status(code: int, **headers: str) -> Answer:
    return lambda handler, _: _send(handler, code, b'{"message": "no"}', **headers)


def instead(body: bytes) -> Answer:
    return lambda handler, _: _send(handler, 200, body)


def cut_off(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """More was promised than comes."""
    handler.send_response(200)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:-1])
    handler.close_connection = True


@dataclass
class ImitationModeration:
    """`answer` is how it answers from now on, once `gate` is open; `asked` are the questions so far."""

    url: str = ""
    answer: Answer = right
    asked: list[Question] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    reached: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released once for each question."""


def _openai(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    text = body["input"]
    flagged = UNFIT in text
    result = {
        "flagged": flagged,
        "categories": {"hate": False, "harassment": flagged, "violence": flagged, "illicit": None},
        "category_scores": {"hate": 0.1, "harassment": 0.6, "violence": 0.9 if flagged else 0.01, "illicit": None},
    }
    return text, {"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}


def _guardrail(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    [content] = body["content"]
    text = content["text"]["text"]
    policies = ("topic", "content", "word", "sensitiveInformation", "sensitiveInformationPolicyFree")
    usage = {f"{policy}PolicyUnits".replace("FreePolicyUnits", "FreeUnits"): 1 for policy in policies}
    answer: dict[str, Any] = {"usage": {**usage, "contextualGroundingPolicyUnits": 0}, "action": "NONE", "outputs": [],
              "assessments": []}  # fmt: skip
    if UNFIT in text:
        found = {
            "contentPolicy": {
                "filters": [
                    {"type": "HATE", "confidence": "LOW", "action": "NONE"},
                    {"type": "VIOLENCE", "confidence": "HIGH", "action": "BLOCKED"},
                ]
            },
            "wordPolicy": {"customWords": [{"match": UNFIT, "action": "BLOCKED"}], "managedWordLists": []},
        }
        answer |= {"action": "GUARDRAIL_INTERVENED", "outputs": [{"text": "blocked"}], "assessments": [found]}
    return text, answer


@contextmanager
def running_moderation() -> Iterator[ImitationModeration]:
    imitation = ImitationModeration()
    imitation.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            text, right_answer = (_guardrail if self.path.startswith("/guardrail/") else _openai)(body)
            imitation.asked.append(
                Question(self.path, {name.lower(): value for name, value in self.headers.items()}, text, body)
            )
            imitation.reached.release()
            imitation.gate.wait(30)
            with suppress(OSError):  # the client has left, as some tests want it to
                imitation.answer(self, json.dumps(right_answer).encode())

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # a connection that does not fit is tried again a second later

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        imitation.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield imitation
        finally:
            imitation.gate.set()
            server.shutdown()
            thread.join(10)
