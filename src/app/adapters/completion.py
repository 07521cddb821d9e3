"""OpenAI's chat completion chunks, read one by one into deltas with a running token count."""

from __future__ import annotations

from typing import Any

import orjson

from app.domain.tool_calls import CallPiece
from app.ports import Delta, TokenCount
from contracts.errors import AtriumError, InvalidRequestError, UpstreamError

CHARS_PER_TOKEN = 4
"""For an engine that does not count: what a token of English text is on average."""
MAX_TOKENS = 2**24
"""Of a prompt, and of an answer: more than any context takes. What is counted is billed."""


class ChunkReader:
    """Knows at any time what was used: the engine's own count where it gives one, else one token a piece of text."""

    def __init__(self, prompt_chars: int) -> None:
        self.counted_by_engine = False
        self.finished = False
        self._pieces = 0
        self._tokens = TokenCount(prompt=max(1, prompt_chars // CHARS_PER_TOKEN))

    def read(self, data: bytes) -> Delta:
        """Raises UpstreamError when the data is no completion chunk, or the engine reports an error in its place; then
        `details` has `said`. InvalidRequestError where the engine says that it is the request's."""
        try:
            chunk = orjson.loads(data)
            if "error" in chunk:
                raise _said(chunk["error"])
            choices = chunk.get("choices")
            text, finish_reason, calls = _first_choice(choices[0]) if choices else _NOTHING
            self._count(text or calls, chunk.get("usage"))
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise UpstreamError("the engine sent something that is no completion") from error
        self.finished = self.finished or finish_reason is not None
        return Delta(text, self._tokens, finish_reason, calls)

    def _count(self, piece: object, usage: dict[str, Any] | None) -> None:
        if piece:
            self._pieces += 1
        if usage is not None:
            details = usage.get("prompt_tokens_details")
            prompt, completion = _counted(usage["prompt_tokens"]), _counted(usage["completion_tokens"])
            cached = _counted(details.get("cached_tokens") or 0) if details else 0
            self._tokens = TokenCount(prompt, completion, min(cached, prompt))
            self.counted_by_engine = True
        elif self._pieces > self._tokens.completion:
            self._tokens = self._tokens._replace(completion=self._pieces)


def _counted(said: float) -> int:
    """Raises ValueError or TypeError where it is no count of tokens: the ledger takes none below zero, and nobody pays
    for what no model can have read or said."""
    if not 0 <= said <= MAX_TOKENS:
        raise ValueError("no count of tokens")
    return int(said)


def _said(error: Any) -> AtriumError:
    """vLLM makes the grammar of a schema when the answer has begun: what is wrong with it is told here."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and 400 <= code < 500:
        return InvalidRequestError("the engine cannot do what the request asks for: a schema, a tool or a parameter")
    return UpstreamError("the engine failed while it was answering", details={"said": True})


_Said = tuple[str, str | None, tuple[CallPiece, ...]]
_NOTHING: _Said = ("", None, ())


def _first_choice(choice: dict[str, Any]) -> _Said:
    """Its text, finish reason and pieces of tool calls. Raises TypeError where they are not text."""
    delta = choice.get("delta") or {}
    text = delta.get("content") or ""
    finish_reason = choice.get("finish_reason")
    if not isinstance(text, str) or not isinstance(finish_reason, str | None):
        raise TypeError("content and finish_reason are text")
    called = delta.get("tool_calls")
    return text, finish_reason, tuple(map(_call_piece, called)) if called else ()


def _call_piece(said: dict[str, Any]) -> CallPiece:
    function = said.get("function") or {}
    index = said.get("index", 0)
    texts = (said.get("id") or "", function.get("name") or "", function.get("arguments") or "")
    if not isinstance(index, int) or not all(isinstance(text, str) for text in texts):
        raise TypeError("the index of a tool call is a number, what is said of it text")
    return CallPiece(index, *texts)
