"""The three services over real sockets and real stores; only the engine is an imitation."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

import app.main
import app.settings
import rag.main
import rag.settings
import router.main
import router.settings
from servicekit.tokens import generate_signing_key, load_signing_key, public_text
from support.imitation_engine import Imitation, running_imitation
from support.server import served

ALL_BY_NAME = 1_000
"""Tenants in metrics: the stack of a whole run has more of them than a process names by default."""
PLATFORM_KEY = "atr_platform-key-of-the-test-stack"
OUTBOUND: dict[str, Any] = {
    "sealing_keys": "YSBzZWFsaW5nIGtleSBvZiB0aGUgdGVzdCBzdGFjay4=",
    "external_engine_networks": "127.0.0.0/8",
}
"""Tenants may have engines of their own, also on this machine."""


@dataclass(frozen=True)
class Stack:
    router: str
    orchestrator: str
    rag: str
    engine: str
    imitation: Imitation
    signing_key: str
    database_url: str

    def client(self, tenant: str | None = None, **options: Any) -> httpx.Client:
        """A client that names its tenant by header, as an application behind a trusted mesh does."""
        headers = {"x-tenant-id": tenant} if tenant else {}
        headers |= options.pop("headers", {})
        return httpx.Client(base_url=self.router, headers=headers, timeout=30, **options)

    def platform(self) -> httpx.Client:
        return httpx.Client(base_url=self.router, headers={"authorization": f"Bearer {PLATFORM_KEY}"}, timeout=30)

    def engine_requests(self) -> int:
        """How many requests have reached the engine."""
        return len(self.imitation.asked)

    def last_engine_body(self) -> dict[str, Any]:
        return self.imitation.asked[-1].body

    def new_tenant(self, name: str = "t", **config: Any) -> str:
        """A tenant of the test's own, generous in its limits unless told otherwise."""
        tenant = f"{name}-{secrets.token_hex(4)}"
        generous = {"rate_limit_per_minute": 100_000, "rate_limit_per_hour": 1_000_000}
        with self.platform() as platform:
            answer = platform.post("/tenants", json={"tenant_id": tenant, "config": generous | config})
        assert answer.status_code == 201, answer.text
        return tenant


def another_router(stack: Stack, valkey_url: str, **changes: Any) -> Any:
    """One more replica over the same stores; `changes` are settings of its own."""
    values = {
        "database_url": stack.database_url,
        "redis_url": valkey_url,
        "orchestrator_url": stack.orchestrator,
        "rag_service_url": stack.rag,
        "service_signing_key": stack.signing_key,
        "auth_mode": "header,api_key",
        "header_role": "tenant_admin",
        "metrics_top_tenants": ALL_BY_NAME,
        **OUTBOUND,
    }
    return router.main.create_app(router.settings.Settings(**(values | changes)))


@contextmanager
def running_stack(database_url: str, valkey_url: str) -> Iterator[Stack]:
    signing_key = generate_signing_key()
    trusted = public_text(load_signing_key(signing_key))
    with ExitStack() as stack:
        engine, imitation = stack.enter_context(running_imitation())
        rag_app = rag.main.create_app(
            rag.settings.Settings(
                database_url=database_url, service_verify_keys=trusted, metrics_top_tenants=ALL_BY_NAME
            )
        )
        rag_url = stack.enter_context(served(rag_app))
        orchestrator_app = app.main.create_app(
            app.settings.Settings(
                rag_service_url=rag_url,
                vllm_service_url=engine,
                service_verify_keys=trusted,
                metrics_top_tenants=ALL_BY_NAME,
                **OUTBOUND,
            )
        )
        orchestrator_url = stack.enter_context(served(orchestrator_app))
        behind = Stack("", orchestrator_url, rag_url, engine, imitation, signing_key, database_url)
        router_app = another_router(behind, valkey_url, atrium_bootstrap_key=PLATFORM_KEY)
        router_url = stack.enter_context(served(router_app))
        yield replace(behind, router=router_url)
