"""The whole stack in processes of its own, each of which a test may kill and start again at its place.

The engine and the RAG service are the imitations; neither is ever killed, so the engine's count is the truth.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from servicekit.tokens import generate_signing_key, load_signing_key, public_text
from support import imitation_engine
from support.imitation_rag import running_rag
from support.own_postgres import OwnPostgres
from support.own_valkey import OwnValkey
from support.service_process import ServiceProcess

PLATFORM_KEY = "atr_platform-key-of-the-crash-stack"


@dataclass
class CrashStack:
    routers: list[ServiceProcess]
    orchestrator: ServiceProcess
    engine: ServiceProcess
    postgres: OwnPostgres
    valkey: OwnValkey

    def new_tenant(self, name: str, **config: Any) -> str:
        tenant = f"{name}-{secrets.token_hex(4)}"
        headers = {"authorization": f"Bearer {PLATFORM_KEY}"}
        body = {"tenant_id": tenant, "config": config}
        httpx.post(f"{self.routers[0].url}/tenants", json=body, headers=headers, timeout=30).raise_for_status()
        return tenant

    def engine_counts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.engine.url}/imitation/counts", timeout=30).json()
        return found


@contextmanager
def running_crash_stack(folder: Path, *, routers: int, interval_ms: float) -> Iterator[CrashStack]:
    """From the main thread, with which the stores end. The engine gives each stream a token every `interval_ms`."""
    signing_key = generate_signing_key()
    trusted = load_signing_key(signing_key).public_key()
    with ExitStack() as stack:
        postgres, valkey = OwnPostgres(folder), OwnValkey(folder / "valkey")
        stack.callback(postgres.close)
        stack.callback(valkey.close)
        script = [imitation_engine.__file__, "--interval-ms", str(interval_ms)]
        engine = ServiceProcess(script, "--port", folder / "engine.log", alive="/health")
        rag, _ = stack.enter_context(running_rag([trusted]))
        orchestrator = ServiceProcess(
            ["-m", "app"],
            "ORCHESTRATOR_PORT",
            folder / "orchestrator.log",
            RAG_SERVICE_URL=rag,
            VLLM_SERVICE_URL=engine.url,
            SERVICE_VERIFY_KEYS=public_text(load_signing_key(signing_key)),
        )
        for process in (engine, orchestrator):
            stack.callback(process.close)
            process.start()
        valkey.start()
        postgres.start()
        postgres.migrate()
        settings = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "ORCHESTRATOR_URL": orchestrator.url,
            "RAG_SERVICE_URL": rag,
            "SERVICE_SIGNING_KEY": signing_key,
            "AUTH_MODE": "header,api_key",
            "HEADER_ROLE": "tenant_admin",
            "ATRIUM_BOOTSTRAP_KEY": PLATFORM_KEY,
        }
        replicas = [
            ServiceProcess(["-m", "router"], "ROUTER_PORT", folder / f"router-{number}.log", **settings)
            for number in range(routers)
        ]
        for router in replicas:
            stack.callback(router.close)
            router.start()
        for process in (engine, orchestrator, *replicas):
            process.wait()
        yield CrashStack(replicas, orchestrator, engine, postgres, valkey)
