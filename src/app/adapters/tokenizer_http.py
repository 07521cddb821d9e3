"""Tokens of texts as the model counts them: vLLM's `POST /tokenize`, each text asked for once a tenant.

An engine that has no such endpoint, or does not answer in time, is not asked again for a while: then tokens are
estimated.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import aiohttp
import orjson

from app.domain.budget import estimate
from contracts.context import TenantContext
from contracts.errors import AtriumError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics

WITHIN_S = 1.0
LEFT_ALONE_S = 30.0
SHORT_BYTES = 96
"""A text of no more is not worth asking for: its bytes are a bound of its tokens."""
CAPACITY = 20_000
MAX_ANSWER = 8 * 1024 * 1024

_Key = tuple[TenantId, bytes]


class TokenizerHttp:
    """Implements `TokenCounter`. `pick` gives the address of a replica of a pool; `model` None: the engine's own.

    The tenant is part of what is remembered, so that none can tell from an answer's speed what another has asked.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        pick: Callable[[TenantContext], str],
        *,
        model: str | None,
        api_key: str | None,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._pick = pick
        self._model = model
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._metrics = metrics
        self._now = now
        self._known: OrderedDict[_Key, int] = OrderedDict()
        self._asked_again_at = 0.0

    async def count(self, context: TenantContext, texts: Sequence[str]) -> list[int]:
        pool = f"{context.model_pool}\0"
        keys = [(context.tenant_id, hashlib.sha256((pool + text).encode()).digest()) for text in texts]
        missing = {
            key: text
            for key, text in zip(keys, texts, strict=True)
            if key not in self._known and len(text.encode()) > SHORT_BYTES
        }
        if missing and self._now() >= self._asked_again_at:
            await self._ask(context, missing)
        return [self._count(key, text) for key, text in zip(keys, texts, strict=True)]

    def _count(self, key: _Key, text: str) -> int:
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        size = len(text.encode())
        return size if size <= SHORT_BYTES else estimate(text)

    async def _ask(self, context: TenantContext, missing: dict[_Key, str]) -> None:
        try:
            async with asyncio.timeout(WITHIN_S):
                url = self._pick(context) + "/tokenize"
                counts = await asyncio.gather(*(self._tokens(url, text) for text in missing.values()))
        except (AtriumError, aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
            reason = "timeout" if isinstance(error, TimeoutError) else "failed"
            self._metrics.count(names.DEPENDENCY_FAILURE, dependency="tokenizer", reason=reason)
            self._asked_again_at = self._now() + LEFT_ALONE_S
            return
        self._known.update(zip(missing, counts, strict=True))
        while len(self._known) > CAPACITY:
            self._known.popitem(last=False)

    async def _tokens(self, url: str, text: str) -> int:
        body: dict[str, object] = {"prompt": text, "add_special_tokens": False}
        if self._model is not None:
            body["model"] = self._model
        async with self._session.post(
            url, data=orjson.dumps(body), headers=self._headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise ValueError(f"the tokenizer answered {response.status}")
            return int(orjson.loads(await _all_of(response))["count"])


async def _all_of(response: aiohttp.ClientResponse) -> bytes:
    """Up to `MAX_ANSWER`: what is longer is cut, and then no JSON."""
    try:
        return await response.content.readexactly(MAX_ANSWER)
    except asyncio.IncompleteReadError as error:
        return error.partial
