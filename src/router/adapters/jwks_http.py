"""An issuer's keys over HTTP: fetched once for everybody, kept, and used on while the issuer is out of reach."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from contracts.errors import DependencyDownError
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from router.domain.signing_keys import KeySet, read_key_set

FETCH_TIMEOUT_S = 3.0
MAX_BODY_BYTES = 256 * 1024
_NEVER = float("-inf")

_logger = logging.getLogger("atrium.jwks")


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds. `max_age_s`: keys that are older are fetched anew, in the background. `interval_s`: so long is waited
    after a failure, and between two fetches for the sake of keys that are unknown. `stale_s`: so long after the last
    success the keys are used while the issuer is out of reach."""

    max_age_s: float
    interval_s: float
    stale_s: float


class _FetchFailedError(Exception):
    """`reason` is a metric's dimension."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HttpIssuerKeys:
    """One fetch at a time, whoever asks. All ages count from the moment at which a fetch began."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        patience: Patience,
        metrics: Metrics,
        *,
        timeout_s: float = FETCH_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._url = url
        self._patience = patience
        self._metrics = metrics
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._clock = clock
        self._keys = KeySet()
        self._fetched_at = self._failed_at = self._sought_at = _NEVER
        self._down = False
        self._fetching: asyncio.Task[None] | None = None

    async def keys(self, kid: str | None = None) -> KeySet:
        if self._age() >= self._patience.stale_s:
            await self._fetched()
            if self._age() >= self._patience.stale_s:
                raise DependencyDownError("the token issuer is out of reach", details={"dependency": "jwks"})
            if self._misses(kid):
                self._sought_at = self._fetched_at  # this fetch has looked for it
        elif self._misses(kid):
            await self._sought()
        elif self._age() >= self._patience.max_age_s:
            self._begin()
        return self._keys

    async def close(self) -> None:
        """Ends a fetch under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _misses(self, kid: str | None) -> bool:
        return kid is not None and not self._keys.knows(kid)

    async def _sought(self) -> None:
        """For a key that is unknown: joins a fetch under way, or begins one where the last for such a key is past."""
        now = self._clock()
        if self._fetching is None and now - self._sought_at < self._patience.interval_s:
            return
        if self._begin() is not None:
            self._sought_at = now
            await self._fetched()

    async def _fetched(self) -> None:
        task = self._begin()
        if task is not None:
            # Shielded: one caller that goes away must not fail the others that wait for the same keys.
            await asyncio.shield(task)

    def _begin(self) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one; None so soon after a failure."""
        if self._fetching is None and self._clock() - self._failed_at >= self._patience.interval_s:
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        began = self._clock()
        try:
            self._keys = read_key_set(await self._body())
            self._fetched_at, self._failed_at = began, _NEVER
            self._note_success()
        except _FetchFailedError as error:
            self._failed_at = began
            self._note_failure(error.reason)
        except ValueError:
            self._failed_at = began
            self._note_failure("malformed")
        finally:
            self._fetching = None

    async def _body(self) -> bytes:
        body = bytearray()
        try:
            async with self._session.get(self._url, allow_redirects=False, timeout=self._timeout) as response:
                if response.status != 200:
                    raise _FetchFailedError("redirect" if 300 <= response.status < 400 else "status")
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise _FetchFailedError("too_large")
        except TimeoutError as error:
            raise _FetchFailedError("timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _FetchFailedError("out_of_reach") from error
        return bytes(body)

    def _note_success(self) -> None:
        if self._down:
            self._down = False
            log(_logger, logging.INFO, "the token issuer is back", keys=len(self._keys.keys))

    def _note_failure(self, reason: str) -> None:
        self._metrics.count(names.DEPENDENCY_FAILURE, dependency="jwks", reason=reason)
        if not self._down:
            self._down = True
            log(_logger, logging.WARNING, "the token issuer's keys cannot be fetched", reason=reason)
