"""The issuer's keys over a real socket: one fetch for everybody, and only an outage that lasts shows."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contracts.context import Role
from contracts.errors import DependencyDownError, UnauthenticatedError
from observability.metrics import NullMetrics
from observability.names import Metric
from router.adapters.jwks_http import MAX_BODY_BYTES, HttpIssuerKeys, Patience
from router.domain.claims import ClaimRules
from router.service.json_web_tokens import Expected, JsonWebTokens
from servicekit.client import open_session
from support.issuer import AUDIENCE, EC_KEY, ED_KEY, ISSUER, RSA_KEY, Issuer, running_issuer, token
from support.telling import told

PATIENCE = Patience(max_age_s=600, interval_s=10, stale_s=3_600)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Counted(NullMetrics):
    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()

    def count(self, _metric: Metric, _amount: float = 1.0, /, **dimensions: str) -> None:
        assert dimensions.pop("dependency") == "jwks"
        self.failures[dimensions["reason"]] += 1


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        running.publish(a=EC_KEY)
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def opened(
    issuer: Issuer, clock: Clock, metrics: Counted | None = None, **options: Any
) -> AsyncIterator[HttpIssuerKeys]:
    async with open_session() as session:
        keys = HttpIssuerKeys(session, issuer.jwks_url, PATIENCE, metrics or Counted(), clock=clock, **options)
        try:
            yield keys
        finally:
            await keys.close()


async def kids(keys: HttpIssuerKeys, wanted: str | None = None) -> set[str | None]:
    return {key.kid for key in (await keys.keys(wanted)).keys}


async def asked(issuer: Issuer) -> None:
    """Until a request has reached the issuer."""
    assert await asyncio.to_thread(issuer.asked.wait, 10)


async def test_a_hundred_first_callers_are_one_fetch(issuer: Issuer, clock: Clock) -> None:
    async with opened(issuer, clock) as keys:
        found = await asyncio.gather(*(kids(keys, "a") for _ in range(100)))
        assert found == [{"a"}] * 100
        await kids(keys)
    assert issuer.fetches == 1


async def test_one_callers_leaving_fails_no_other(issuer: Issuer, clock: Clock) -> None:
    issuer.gate.clear()
    async with opened(issuer, clock) as keys:
        leaving, staying = (asyncio.create_task(kids(keys, "a")) for _ in range(2))
        await asked(issuer)
        leaving.cancel()
        await asyncio.wait([leaving])
        issuer.gate.set()
        assert await staying == {"a"}
    assert leaving.cancelled()
    assert issuer.fetches == 1


async def test_old_keys_are_used_while_new_ones_are_fetched(issuer: Issuer, clock: Clock) -> None:
    async with opened(issuer, clock) as keys:
        await kids(keys, "a")
        issuer.publish(b=RSA_KEY)
        clock.now += PATIENCE.max_age_s - 1
        assert await kids(keys) == {"a"}
        assert issuer.fetches == 1
        issuer.gate.clear()
        issuer.asked.clear()
        clock.now += 1
        assert await kids(keys, "a") == {"a"}
        await asked(issuer)
        assert await kids(keys, "a") == {"a"}
        issuer.gate.set()
        assert await kids(keys, "b") == {"b"}  # joins the fetch under way
    assert issuer.fetches == 2


async def test_an_unknown_key_is_looked_for_once_an_interval(issuer: Issuer, clock: Clock) -> None:
    async with opened(issuer, clock) as keys:
        await kids(keys, "a")
        for round_ in range(3):
            await asyncio.gather(*(kids(keys, f"unknown-{number}") for number in range(100)))
            assert issuer.fetches == 2 + round_
            clock.now += PATIENCE.interval_s - 0.1
            await kids(keys, "unknown")
            assert issuer.fetches == 2 + round_
            clock.now += 0.1


async def test_a_first_fetch_that_has_not_the_key_is_the_look_for_it(issuer: Issuer, clock: Clock) -> None:
    async with opened(issuer, clock) as keys:
        await asyncio.gather(*(kids(keys, f"unknown-{number}") for number in range(100)))
        await kids(keys, "unknown")
        assert issuer.fetches == 1
        issuer.publish(new=EC_KEY)
        clock.now += PATIENCE.interval_s
        assert await kids(keys, "new") == {"new"}


async def test_everybody_with_a_new_key_waits_for_the_same_fetch(issuer: Issuer, clock: Clock) -> None:
    async with opened(issuer, clock) as keys:
        await kids(keys, "a")
        issuer.publish(a=EC_KEY, b=RSA_KEY)
        assert await asyncio.gather(*(kids(keys, "b") for _ in range(50))) == [{"a", "b"}] * 50
    assert issuer.fetches == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 500}, "status"),
        ({"status": 404}, "status"),
        ({"status": 204, "body": b""}, "status"),
        ({"body": b"<html>"}, "malformed"),
        ({"body": b"[]"}, "malformed"),
        ({"body": b" " * MAX_BODY_BYTES + b'{"keys": []}'}, "too_large"),
        ({"headers": {"content-length": "10", "transfer-encoding": "chunked"}}, "out_of_reach"),
    ],
)
async def test_a_failed_fetch_is_counted_and_not_repeated_at_once(
    issuer: Issuer, clock: Clock, fault: dict[str, Any], reason: str
) -> None:
    for name, value in fault.items():
        setattr(issuer, name, value)
    metrics = Counted()
    async with opened(issuer, clock, metrics) as keys:
        for _ in range(5):
            with pytest.raises(DependencyDownError) as caught:
                await kids(keys, "a")
            assert caught.value.details == {"dependency": "jwks"}
        assert (issuer.fetches, metrics.failures) == (1, {reason: 1})
        clock.now += PATIENCE.interval_s
        with pytest.raises(DependencyDownError):
            await kids(keys)
    assert (issuer.fetches, metrics.failures) == (2, {reason: 2})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_its_target_is_not_asked(issuer: Issuer, clock: Clock, status: int) -> None:
    metrics = Counted()
    with running_issuer() as target:
        target.publish(a=EC_KEY)
        issuer.status, issuer.headers = status, {"location": target.jwks_url}
        async with opened(issuer, clock, metrics) as keys:
            with pytest.raises(DependencyDownError):
                await kids(keys, "a")
        assert target.paths == []
    assert metrics.failures == {"redirect": 1}


async def test_an_issuer_that_hangs_is_given_up(issuer: Issuer, clock: Clock) -> None:
    issuer.gate.clear()
    metrics = Counted()
    async with opened(issuer, clock, metrics, timeout_s=0.2) as keys:
        with pytest.raises(DependencyDownError):
            await kids(keys, "a")
    assert metrics.failures == {"timeout": 1}


async def test_closing_ends_a_fetch_under_way(issuer: Issuer, clock: Clock) -> None:
    issuer.gate.clear()
    async with opened(issuer, clock) as keys:
        waiting = asyncio.create_task(kids(keys, "a"))
        await asked(issuer)
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_no_proxy_is_taken_from_the_environment(
    issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_issuer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        async with opened(issuer, clock) as keys:
            assert await kids(keys, "a") == {"a"}
        assert proxy.paths == []


RULES = ClaimRules("tenant_id", "roles", {}, Role.TENANT_USER)


def verifying(keys: HttpIssuerKeys) -> JsonWebTokens:
    return JsonWebTokens(keys, Expected(ISSUER, (AUDIENCE,)), RULES)


async def accepted(tokens: JsonWebTokens, text: str) -> bool:
    try:
        await tokens.principal(text)
    except UnauthenticatedError:
        return False
    return True


async def test_an_outage_shows_only_when_it_lasts(
    issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Counted()
    known, unknown = token(EC_KEY, "a"), token(EC_KEY, "a", sub="seen during the outage")
    with caplog.at_level(logging.INFO, "atrium.jwks"):
        async with opened(issuer, clock, metrics) as keys:
            tokens = verifying(keys)
            began = clock.now
            assert await accepted(tokens, known)
            issuer.status = 503
            while clock.now < began + PATIENCE.stale_s - 60:
                clock.now += 60
                assert await accepted(tokens, known)
                await keys.keys("unknown")  # waits for the fetch that this has begun
            assert await accepted(tokens, unknown)
            clock.now = began + PATIENCE.stale_s
            for text in (known, unknown):
                with pytest.raises(DependencyDownError):
                    await tokens.principal(text)
            issuer.status = 200
            clock.now += PATIENCE.interval_s
            assert await accepted(tokens, known)
    assert metrics.failures["status"] > 10
    assert [record.levelname for record in told(caplog, "atrium.jwks")] == ["WARNING", "INFO"]


async def test_a_rotation_takes_in_the_new_key_and_ends_the_old(issuer: Issuer, clock: Clock) -> None:
    async with opened(issuer, clock) as keys:
        tokens = verifying(keys)
        old, new = token(EC_KEY, "a"), token(ED_KEY, "b")
        assert await accepted(tokens, old)
        issuer.publish(a=EC_KEY, b=ED_KEY)
        assert await accepted(tokens, new)
        assert await accepted(tokens, old)
        issuer.publish(b=ED_KEY)
        clock.now += PATIENCE.max_age_s
        await keys.keys("joins the fetch")
        assert await accepted(tokens, new)
        assert not await accepted(tokens, old)
        assert not await accepted(tokens, token(EC_KEY, "a", sub="another"))
        issuer.body = b'{"keys": []}'
        clock.now += PATIENCE.max_age_s
        await keys.keys("joins the fetch")
        assert not await accepted(tokens, new)


@pytest.mark.parametrize("header", ["jku", "x5u"])
async def test_an_address_in_a_token_is_not_asked(issuer: Issuer, clock: Clock, header: str) -> None:
    with running_issuer() as evil:
        evil.publish(a=ED_KEY, evil=ED_KEY)
        async with opened(issuer, clock) as keys:
            tokens = verifying(keys)
            for kid in ("a", "evil", evil.jwks_url, None):
                assert not await accepted(tokens, token(ED_KEY, kid, {header: evil.jwks_url}))
        assert evil.paths == []
    assert set(issuer.paths) == {"/jwks.json"}
