"""What one tenant's admin asks of a router costs no other tenant its answers."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.stack import Stack

UNICODE = r"[\pL\pN\pM\pS]"


@contextmanager
def neighbour(stack: Stack) -> Iterator[list[float]]:
    """Seconds that each of another tenant's reads took meanwhile."""
    took: list[float] = []
    ended = threading.Event()

    def reads() -> None:
        with stack.client(tenant) as client:
            last = False  # one read more behind the end, so that there is one at least
            while not last:
                last = ended.is_set()
                began = time.monotonic()
                client.get(f"/tenant/{tenant}/config").raise_for_status()
                took.append(time.monotonic() - began)

    tenant = stack.new_tenant("quiet")
    reader = threading.Thread(target=reads)
    reader.start()
    try:
        yield took
    finally:
        ended.set()
        reader.join()


def rules(*patterns: str) -> dict[str, Any]:
    return {"refusal_rules": [{"type": "regex", "pattern": pattern, "reason": "r"} for pattern in patterns]}


def test_dear_rules_hold_up_nobody(stack: Stack) -> None:
    tenant = stack.new_tenant("noisy")
    path = f"/tenant/{tenant}/config"
    with stack.client(tenant) as admin, neighbour(stack) as took:
        refused = admin.put(path, json=rules(*[f"{UNICODE * 20}|q{number}" for number in range(160)]))
        assert refused.status_code == 422
        assert refused.json()["error"]["details"]["faults"][0]["path"] == "refusal_rules[0]"
        many = rules(*[f"{UNICODE}|q{number}" for number in range(60)])
        for call in (admin.put, admin.patch):
            assert call(path, json=many).status_code == 200
        assert admin.get(f"/tenant/{tenant}/documents").status_code == 200
    assert max(took) < 2


def test_a_history_of_long_lists_that_repeat_holds_up_nobody(stack: Stack) -> None:
    tenant = stack.new_tenant("noisy")
    path = f"/tenant/{tenant}/config"
    with stack.client(tenant) as admin:
        for mark in "uv":
            tools = [item for number in range(500) for item in ("x", f"{mark}{number}")]
            admin.patch(path, json={"blocked_tools": tools}).raise_for_status()
        with neighbour(stack) as took:
            assert len(admin.get(f"{path}/versions", params={"limit": 2}).json()["items"][0]["changes"]) == 500
    assert max(took) < 2


def test_rules_that_judge_slowly_hold_up_nobody(stack: Stack) -> None:
    tenant = stack.new_tenant("noisy", **rules(*[f"[a-q].{{700}}z|qqq{number}" for number in range(8)]))
    prompt = "".join(random.Random(1).choices("abcdefghijklmnop", k=32_768))
    with stack.client(tenant) as user, neighbour(stack) as took:
        assert user.post("/chat", json={"query": prompt}).status_code in {200, 422}
    assert max(took) < 2
