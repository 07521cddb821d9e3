"""A router is killed while it answers: what its sessions were told to the end before is remembered by the others."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.crash_stack import CrashStack, running_crash_stack
from support.sse import events

pytestmark = pytest.mark.slow

SESSION: dict[str, Any] = {"user_id": "u", "session_id": "s"}


def killed_while_it_tells(stack: CrashStack, client: httpx.Client) -> None:
    body = {**SESSION, "query": "tokens:200 struck", "stream": True}
    with suppress(httpx.HTTPError), client.stream("POST", "/chat", json=body) as answer:
        for name, _ in events(answer):
            if name == "token":
                stack.routers[0].kill()


def test_a_router_that_is_killed_loses_the_turn_it_was_telling_and_no_other(tmp_path: Path) -> None:
    with running_crash_stack(tmp_path, routers=2, interval_ms=20) as stack:
        headers = {"x-tenant-id": stack.new_tenant("memory")}
        first, second = (httpx.Client(base_url=one.url, headers=headers, timeout=30) for one in stack.routers)
        with first, second:
            for number in range(2):
                first.post("/chat", json={**SESSION, "query": f"tokens:2 question {number}"}).raise_for_status()
            killed_while_it_tells(stack, first)
            asked = second.post("/chat", json={**SESSION, "query": "tokens:2 after"}).raise_for_status()
            assert asked.headers["x-conversation-memory"] == "on"
            turns = second.get(f"/tenant/{headers['x-tenant-id']}/sessions/s").raise_for_status().json()["items"]
        assert [(turn["number"], turn["question"]) for turn in turns] == [
            (1, "tokens:2 question 0"),
            (2, "tokens:2 question 1"),
            (3, "tokens:2 after"),
        ]
