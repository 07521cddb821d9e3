"""Turns as runs in LangSmith: a project a tenant, texts only of tenants that allow it, from a thread of its own.

LangGraph's own tracing is not used: it would send the state of every node, documents and vectors with it, through a
queue whose losses nobody counts. The client's own thread is not used either.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from guard.kinds import Kind
from guard.redaction import Redactor
from observability.outbox import Outbox

MAX_WAITING, BATCH, LINGER_S = 1_024, 64, 2.0
TIMEOUT_MS = (2_000, 5_000)
MAX_TEXT = 4_096
"""Characters of a prompt and of an answer."""


@dataclass(frozen=True, slots=True)
class TurnRun:
    """`prompt` and `answer` are None unless the tenant allows that they leave the stack. Times are Unix time."""

    tenant_id: str
    request_id: str
    session_id: str
    began: float
    ended: float
    first_token: float | None
    prompt: str | None = None
    answer: str | None = None
    error: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """Route, chunk ids, citations, reason of a refusal."""


class LangSmithRuns:
    def __init__(
        self, api_key: str, *, endpoint: str | None, project: str, dropped: Callable[[int, str], None]
    ) -> None:
        self._api_key = api_key
        self._endpoint = endpoint
        self._project = project
        self._redactor = Redactor(Kind)
        self._outbox = Outbox[TurnRun, TurnRun](
            "langsmith",
            self._send,
            read=lambda found: TurnRun(**found),
            opening=lambda: self._client,
            capacity=MAX_WAITING,
            batch=BATCH,
            linger_s=LINGER_S,
            dropped=dropped,
        )

    def put(self, run: TurnRun) -> None:
        self._outbox.put(run)

    def start(self) -> None:
        self._outbox.start()

    def wait_until_open(self, within_s: float) -> None:
        self._outbox.wait_until_open(within_s)

    def end(self, *, within_s: float) -> None:
        self._outbox.end(within_s=within_s)

    def _send(self, runs: list[TurnRun]) -> None:
        """Raises what the client raises."""
        body = {"post": [self._run(run) for run in runs], "patch": []}
        self._client.request_with_retries(
            "POST",
            "/runs/batch",
            stop_after_attempt=1,  # the outbox tries again, and counts
            request_kwargs={"json": body},
        )

    @cached_property
    def _client(self) -> Any:
        from langsmith import Client  # noqa: PLC0415  nobody without a key needs it
        from urllib3.util.retry import Retry  # noqa: PLC0415

        logging.getLogger("langsmith").setLevel(logging.CRITICAL)  # the outbox says what is wrong, once
        return Client(
            self._endpoint,
            api_key=self._api_key,
            auto_batch_tracing=False,
            timeout_ms=TIMEOUT_MS,
            retry_config=Retry(total=0),
        )

    def _run(self, run: TurnRun) -> dict[str, Any]:
        began = _moment(run.began)
        # The same when it is sent again, because an answer to the first time was not heard.
        run_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{run.tenant_id}/{run.request_id}/{run.began}")
        metadata = {
            "tenant_id": run.tenant_id,
            "request_id": run.request_id,
            "session_id": run.session_id,
            **run.facts,
        }
        if run.usage:
            metadata["usage_metadata"] = {
                "input_tokens": run.usage.get("prompt_tokens", 0),
                "output_tokens": run.usage.get("completion_tokens", 0),
                "total_tokens": run.usage.get("total_tokens", 0),
            }
        return {
            "id": str(run_id),
            "trace_id": str(run_id),
            "dotted_order": f"{began.strftime('%Y%m%dT%H%M%S%fZ')}{run_id}",
            "name": "turn",
            "run_type": "llm",
            "session_name": f"{self._project}-{run.tenant_id}",
            "start_time": began.isoformat(),
            "end_time": _moment(run.ended).isoformat(),
            "inputs": {} if run.prompt is None else {"prompt": self._shown(run.prompt)},
            "outputs": {} if run.answer is None else {"answer": self._shown(run.answer)},
            "error": run.error,
            "events": [{"name": "new_token", "time": _moment(run.first_token).isoformat()}] if run.first_token else [],
            "extra": {"metadata": metadata},
        }

    def _shown(self, text: str) -> str:
        return self._redactor.redact(text[: MAX_TEXT + self._redactor.window])[:MAX_TEXT]


def _moment(unix_time: float) -> datetime:
    return datetime.fromtimestamp(unix_time, UTC)
