"""What it costs to know who asks and what governs the request, and how much memory ten thousand tenants take.
`make bench` runs it after the hops.

In one process, without sockets: the router's own gate over a request's scope, with stores in memory and a change feed
that is heard, which is the warm path: nothing is read per request, and the bench fails if anything is.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import psutil
from fastapi import Request
from rich.console import Console
from rich.table import Table

from contracts.context import Role
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from observability.record import RequestRecord, attach_record
from router.api.dependencies import Services, gate
from router.domain.claims import ClaimRules
from router.domain.policy import Policy, compile_policy
from router.domain.signing_keys import KeySet, read_key_set
from router.service.access import Access
from router.service.identity import Identity
from router.service.json_web_tokens import Expected, JsonWebTokens
from router.service.key_uses import KeyUses
from router.service.tenant_turns import TenantTurns
from router.settings import AuthMode
from support.issuer import AUDIENCE, ED_KEY, ISSUER, jwk, key_set, token
from tenancy.config import TenantConfig
from tenancy.keys import new_key
from tenancy.live import LiveKeys, LiveTenants, Subject
from tenancy.memory_keys import MemoryKeyStore
from tenancy.ports import Revision, TenantRecord, TenantState

CALLS = 20_000
TENANTS = 10_000
OPERATION = "/tenant/{tenant_id}/documents"
HEADERS = [
    (b"host", b"localhost:8080"),
    (b"user-agent", b"python-httpx/0.28"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"content-type", b"application/json"),
    (b"content-length", b"120"),
    (b"x-request-id", b"0123456789abcdef"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]
CONFIG = {
    "display_name": "A tenant of the bench",
    "sensitive_prompt_patterns": ["password", "credit card", "social security number"],
    "refusal_rules": [
        {"type": "contains", "pattern": "hack", "reason": "Security violation"},
        {"type": "word", "pattern": "exploit", "reason": "Security violation"},
        {"type": "regex", "pattern": "(?:ignore|forget) (?:all|previous) instructions", "reason": "Prompt injection"},
    ],
    "routes": [{"name": "RETURNS", "description": "Returns and refunds", "examples": ["How do I send this back?"]}],
    "allowed_routes": ["GENERAL", "PRICE_COMPARE", "RETURNS"],
}


class Heard:
    """A feed that has told of nothing."""

    def heard_since(self) -> float | None:
        return 0.0

    def changed_at(self, _subject: Subject) -> float:
        return float("-inf")


class Configs:
    """Every tenant there is, each with a config of its own; counts what is read."""

    def __init__(self) -> None:
        self.reads = 0

    async def read_unless(self, tenant_id: TenantId, _known: Revision | None) -> TenantRecord:
        self.reads += 1
        revision = Revision(datetime.now(UTC), 1, TenantState.ACTIVE)
        return TenantRecord(tenant_id, revision, TenantConfig.model_validate(CONFIG))


class IssuerKeys:
    async def keys(self, _kid: str | None = None) -> KeySet:
        return self._keys

    _keys = read_key_set(key_set(jwk(ED_KEY, "k")))


async def compiled(record: TenantRecord) -> Policy:
    return compile_policy(record)


async def through(asked: Request) -> None:
    async with asynccontextmanager(gate)(asked):
        pass


def router_parts(configs: Configs, key_text: Any) -> Services:
    keys = MemoryKeyStore()
    keys.put(key_text, TenantId("t1"), Role.TENANT_ADMIN)
    rules = ClaimRules("tenant_id", "roles", {"tenant_admin": Role.TENANT_ADMIN}, Role.TENANT_USER)
    tenants: LiveTenants[Policy] = LiveTenants(configs, compiled, feed=Heard())  # type: ignore[arg-type]
    identity = Identity(
        LiveKeys(keys, feed=Heard()),
        KeyUses(keys),
        modes=frozenset(AuthMode),
        header_role=Role.TENANT_USER,
        trust_header_from_anywhere=False,
        tokens=JsonWebTokens(IssuerKeys(), Expected(ISSUER, (AUDIENCE,)), rules),
    )
    others: dict[str, Any] = dict.fromkeys(Services.__slots__)
    return Services(
        **{
            **others,
            "trusted_proxies": (),
            "identity": identity,
            "access": Access(tenants),
            "tenant_turns": TenantTurns(NullMetrics()),
        }
    )


def request(services: Services, tenant: str, *headers: tuple[bytes, bytes]) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": f"/tenant/{tenant}/documents",
        "path_params": {"tenant_id": tenant},
        "headers": [*HEADERS, *headers],
        "client": ("127.0.0.1", 1),
        "route": SimpleNamespace(path=OPERATION),
        "app": SimpleNamespace(state=SimpleNamespace(services=services)),
    }
    attach_record(scope, RequestRecord("r", "GET", scope["path"]))
    return Request(scope)


async def cost_us(call: Callable[[], Awaitable[object]]) -> float:
    """CPU of one call, the least of five rounds: the machine can only make it longer."""
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(CALLS // 5):
            await call()
        rounds.append((time.process_time() - began) / (CALLS // 5))
    return min(rounds) * 1e6


async def costs() -> dict[str, float]:
    configs, key = Configs(), new_key()
    services = router_parts(configs, key)
    credentials = {
        "X-Tenant-Id": (b"x-tenant-id", b"t1"),
        "API key": (b"authorization", b"Bearer " + key.text.encode()),
        "JWT": (b"authorization", b"Bearer " + token(ED_KEY, "k", tenant_id="t1", roles=["tenant_admin"]).encode()),
    }
    found = {}
    for name, header in credentials.items():
        await through(request(services, "t1", header))
        found[name] = await cost_us(lambda header=header: through(request(services, "t1", header)))  # type: ignore[misc]

    async def nothing() -> object:
        return request(services, "t1", credentials["API key"])

    empty = await cost_us(nothing)
    assert configs.reads == 1, "the warm path read a config"
    return {name: cost - empty for name, cost in found.items()}


async def memory_mb() -> float:
    tenants: LiveTenants[Policy] = LiveTenants(Configs(), compiled, feed=Heard())  # type: ignore[arg-type]
    await tenants.get(TenantId("warm"))
    gc.collect()
    before = psutil.Process().memory_info().rss
    for number in range(TENANTS):
        await tenants.get(TenantId(f"tenant-{number}"))
    gc.collect()
    return (psutil.Process().memory_info().rss - before) / 2**20


def main() -> None:
    table = Table("identity by", "CPU per request", title="Identity, access and config, warm")
    for name, cost in asyncio.run(costs()).items():
        table.add_row(name, f"{cost:.0f} µs")
    console = Console()
    console.print(table)
    console.print(
        f"{TENANTS:,} tenants in memory, each with its own rules and routes: {asyncio.run(memory_mb()):.0f} MB"
    )


if __name__ == "__main__":
    main()
