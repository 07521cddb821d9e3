"""OpenAI's own client against the stack's router, as a user of it makes one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from openai import OpenAI

from support.stack import Stack

_KEYS: dict[tuple[str, str], str] = {}


def key_of(stack: Stack, tenant: str) -> str:
    """The same each time: an `Idempotency-Key` is its principal's."""
    known = _KEYS.get((stack.router, tenant))
    return known or _KEYS.setdefault((stack.router, tenant), _new_key(stack, tenant))


def _new_key(stack: Stack, tenant: str) -> str:
    with stack.platform() as platform:
        made = platform.post(f"/tenant/{tenant}/keys", json={"label": "app", "role": "tenant_user"}).raise_for_status()
    return str(made.json()["key"])


@contextmanager
def openai_client(stack: Stack, tenant: str, **options: Any) -> Iterator[OpenAI]:
    """With a key of the tenant's. It tries nothing twice, unless told otherwise."""
    with OpenAI(
        base_url=f"{stack.router}/v1", api_key=key_of(stack, tenant), **({"max_retries": 0, "timeout": 30} | options)
    ) as client:
        yield client


def asking(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def a_tool(name: str = "look_up", description: str = "Says what something costs.") -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
