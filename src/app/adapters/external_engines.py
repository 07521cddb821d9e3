"""Engines of tenants' own, outside this platform: asked with the tenant's key, at addresses that may be asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import aiohttp

from app.adapters.engine_http import EngineHttp, Sampling
from app.adapters.engine_link import READ_BUFFER, EngineLink
from app.adapters.replicas import Replicas
from app.ports import Engine
from contracts.errors import UpstreamError
from contracts.external import EXTERNAL_POOL, ExternalEngine
from contracts.tenant import TenantId
from observability.metrics import Metrics
from servicekit.client import CONNECT_TIMEOUT_S, KEEP_ALIVE_S
from servicekit.outbound import CheckedResolver, Network, check_url, checked_sockets
from stores.sealing import Sealing, UnsealError

MAX_KNOWN = 1_000
"""Engines of which it is remembered how they do. One that is forgotten is asked as if nothing were known of it."""


def open_external_session(networks: Sequence[Network]) -> aiohttp.ClientSession:
    """Connects to what `is_allowed` alone. No cookie of one tenant's provider is kept for another."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE_S,
            resolver=CheckedResolver(networks),
            use_dns_cache=False,
            socket_factory=checked_sockets(networks),
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        read_bufsize=READ_BUFFER,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class HttpExternalEngines:
    """`sampling` is the platform's; an engine elsewhere is told nothing that OpenAI's API does not know."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        sealing: Sealing | None,
        sampling: Sampling,
        *,
        networks: Sequence[Network],
        metrics: Metrics,
        hang_s: float,
    ) -> None:
        self._session = session
        self._sealing = sealing
        self._sampling = replace(sampling, extensions=False, priorities=False)
        self._networks = tuple(networks)
        self._metrics = metrics
        self._hang_s = hang_s
        self._known: OrderedDict[tuple[TenantId, ExternalEngine], Engine] = OrderedDict()

    async def of(self, tenant_id: TenantId, engine: ExternalEngine) -> Engine:
        known = self._known.get((tenant_id, engine))
        if known is None:
            known = self._known[tenant_id, engine] = await self._made(tenant_id, engine)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end((tenant_id, engine))
        return known

    async def _made(self, tenant_id: TenantId, engine: ExternalEngine) -> Engine:
        if self._sealing is None:
            raise UpstreamError("this platform has no engines of tenants' own")
        try:
            url = check_url(engine.base_url, self._networks)
            key = await self._sealing.unseal(tenant_id, engine.api_key)
        except UnsealError as error:
            raise UpstreamError("the key for the tenant's own engine cannot be opened: store it anew") from error
        except ValueError as error:
            raise UpstreamError("the tenant's own engine is at an address that may not be used") from error
        return EngineHttp(
            EngineLink(self._session, key, traced=False),
            Replicas({EXTERNAL_POOL: (url,)}, self._metrics),
            replace(self._sampling, model=engine.model),
            metrics=self._metrics,
            hang_s=self._hang_s,
            pool=EXTERNAL_POOL,
        )
