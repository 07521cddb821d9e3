"""What one tenant has looked for in its answers, or replaced in its prompts, holds up no other tenant's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.stack import Stack

NESTED = [
    {"type": "contains", "pattern": "a" * length, "reason": "r", "stage": "output", "action": "redact"}
    for length in range(1_200, 1_136, -1)
]
MATCH_ALL = [
    {"type": "regex", "pattern": f"[a-z ]{{{at % 20 + 1}}}|q{at}", "reason": "r", "stage": "both", "action": "redact"}
    for at in range(100)
]


@contextmanager
def neighbour(stack: Stack) -> Iterator[list[float]]:
    """Seconds that each of another tenant's answers took meanwhile."""
    took: list[float] = []
    ended = threading.Event()

    def asks() -> None:
        with stack.client(tenant) as client:
            last = False  # one more behind the end, so that there is one at least
            while not last:
                last = ended.is_set()
                began = time.monotonic()
                client.post("/chat", json={"query": "tokens:3 hello"}).raise_for_status()
                took.append(time.monotonic() - began)

    tenant = stack.new_tenant("quiet")
    asking = threading.Thread(target=asks)
    asking.start()
    try:
        yield took
    finally:
        ended.set()
        asking.join()


@pytest.mark.parametrize(
    ("config", "query"),
    [
        ({"refusal_rules": NESTED}, "a" * 1_000 + " tokens:3"),
        ({"refusal_rules": MATCH_ALL}, "tokens:40 " + "lorem ipsum " * 25),
        ({"redact": {"output": ["phone"]}}, "tokens:200 " + "202-555-0123 " * 20),
        ({"redact": {"input": ["phone"]}}, "tokens:2 " + "202-555-0123 " * 2_000),
    ],
    ids=["nested literals", "expressions", "numbers in answers", "numbers in prompts"],
)
def test_what_is_replaced_slowly_holds_up_nobody(stack: Stack, config: dict[str, Any], query: str) -> None:
    tenant = stack.new_tenant("noisy", **config)
    with stack.client(tenant) as user, neighbour(stack) as took:
        for _ in range(3):
            answer = user.post("/chat", json={"query": query}, timeout=120)
            assert answer.status_code in {200, 504}, answer.text
    assert max(took) < 2
