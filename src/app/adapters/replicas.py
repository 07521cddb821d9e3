"""The engines' replicas by pool: which there are, how they do, and which of them a request is given to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from app.adapters.replica import Replica, State
from app.domain.choice import choose
from contracts.context import TenantContext
from contracts.errors import ModelUnavailableError, PoolUnavailableError
from observability import names
from observability.logging import log
from observability.metrics import Metrics, NullMetrics

FULL_S = 0.5
"""So long a replica that refused a request is given none while others have room; it may say less."""
STATES: tuple[State, ...] = ("usable", "ejected", "unreachable", "draining")

_logger = logging.getLogger("atrium.pools")


class Replicas:
    """`pools`: the addresses that are set. What is discovered comes beside them by `discovered`."""

    def __init__(
        self,
        pools: Mapping[str, Sequence[str]],
        metrics: Metrics | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._set = {pool: dict.fromkeys(urls, False) for pool, urls in pools.items()}
        self._pools: dict[str, dict[str, Replica]] = {}
        self._metrics = metrics or NullMetrics()
        self._now = now
        self._panics: set[str] = set()
        self.discovered({})

    def discovered(self, pools: Mapping[str, Mapping[str, bool]]) -> None:
        """All that discovery knows now, by pool and address: whether it drains. A replica that is no longer there gets
        no new work; what it has begun, whoever asked it goes on reading."""
        wanted = {pool: {**pools.get(pool, {}), **self._set.get(pool, {})} for pool in {*self._set, *pools}}
        for pool, replicas in list(self._pools.items()):
            for url in [url for url in replicas if url not in wanted.get(pool, {})]:
                log(_logger, logging.INFO, "replica gone", pool=pool, replica=url)
                del replicas[url]
        for pool, urls in wanted.items():
            replicas = self._pools.setdefault(pool, {})
            for url, draining in urls.items():
                if url not in replicas:
                    log(_logger, logging.INFO, "replica known", pool=pool, replica=url)
                    replicas[url] = Replica(pool, url)
                elif draining and not replicas[url].draining:
                    log(_logger, logging.INFO, "replica drains", pool=pool, replica=url)
                replicas[url].draining = draining

    def pools(self) -> Mapping[str, Sequence[Replica]]:
        return {pool: tuple(replicas.values()) for pool, replicas in self._pools.items()}

    def any_of(self, pool: str) -> str:
        """The address of a replica that can be asked something beside a turn. Raises PoolUnavailableError."""
        candidates = self._candidates(pool)
        url = choose("", [replica.load(self._now()) for replica in candidates])
        return next(replica.url for replica in candidates if replica.url == url)

    def choose(
        self, context: TenantContext, *, model: str | None = None, tried: Collection[str] = ()
    ) -> Replica | None:
        """The replica for the next try; None where all that could be were tried.

        Raises PoolUnavailableError, and ModelUnavailableError where no replica serves `model`.
        """
        candidates = self._candidates(context.model_pool)
        serving = [replica for replica in candidates if replica.may_serve(model)]
        if not serving:
            raise ModelUnavailableError("no engine of the pool serves the model")
        left = {replica.url: replica for replica in serving if replica.url not in tried}
        url = choose(_key(context), [replica.load(self._now()) for replica in left.values()])
        return None if url is None else left[url]

    @contextmanager
    def working(self, replica: Replica) -> Iterator[None]:
        """While it is given a request: what becomes of that, `answered`, `refused` and `failed` tell."""
        now = self._now()
        on_trial = not replica.health.on_trial and replica.health.tried(now).on_trial
        replica.health = replica.health.tried(now)
        replica.in_flight += 1
        try:
            yield
        finally:
            replica.in_flight -= 1
            if on_trial and replica.health.on_trial:
                replica.health = replica.health.untold()

    def answered(self, replica: Replica) -> None:
        """Its first token is there."""
        if replica.health.until is not None:
            log(_logger, logging.INFO, "replica well again", pool=replica.pool, replica=replica.url)
        replica.health = replica.health.answered()

    def refused(self, replica: Replica, retry_after_s: float) -> None:
        """It has no room. That is no failure: it says so."""
        self.answered(replica)
        replica.full_until = self._now() + min(retry_after_s, FULL_S)

    def failed(self, replica: Replica, reason: str) -> None:
        before = replica.health.ejections
        replica.health = replica.health.failed(self._now())
        if replica.health.ejections > before:
            assert replica.health.until is not None  # noqa: S101  that is what an ejection is
            self._metrics.count(names.ENGINE_EJECTION, pool=replica.pool, reason=reason)
            log(
                _logger,
                logging.WARNING,
                "replica ejected",
                pool=replica.pool,
                replica=replica.url,
                reason=reason,
                for_s=round(replica.health.until - self._now(), 3),
            )

    def tell(self) -> None:
        """The number of replicas in each state, for `/metrics`."""
        now = self._now()
        for pool, replicas in self._pools.items():
            states = [replica.state(now) for replica in replicas.values()]
            for state in STATES:
                self._metrics.level(names.ENGINE_REPLICAS, states.count(state), pool=pool, state=state)

    def _candidates(self, pool: str) -> Sequence[Replica]:
        """Those that take new work. Where all are ejected or unreachable, any of them is tried all the same: a request
        that may fail is better than one that must. Last, those that drain but still serve."""
        now, known = self._now(), tuple(self._pools.get(pool, {}).values())
        usable = [replica for replica in known if replica.state(now) == "usable"]
        self._panic(pool, on=bool(known) and not usable)
        found = usable or [replica for replica in known if not replica.draining] or list(known)
        if not found:
            raise PoolUnavailableError("the engine pool of this tenant has no replica", retry_after_s=1)
        return found

    def _panic(self, pool: str, *, on: bool) -> None:
        if on == (pool in self._panics):
            return
        if on:
            self._panics.add(pool)
            log(_logger, logging.ERROR, "no replica is usable: all are tried", pool=pool)
        else:
            self._panics.discard(pool)
            log(_logger, logging.INFO, "a replica is usable again", pool=pool)


def _key(context: TenantContext) -> str:
    return f"{context.tenant_id}\0{context.session_id}"
