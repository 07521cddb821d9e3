"""What admits requests and writes down what they used: limits, prices, accounts, opened and put together."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress

from contracts.errors import AtriumError
from observability.metrics import Metrics
from router.adapters.postgres_prices import PostgresPriceStore
from router.adapters.valkey_admissions import ValkeyAdmissions
from router.adapters.valkey_first_answers import ValkeyFirstAnswers
from router.adapters.valkey_sessions import ValkeySessions
from router.domain.pricing import ANY_MODEL, price_in_usd
from router.service.accounts import Accounts
from router.service.admission_gate import AdmissionGate
from router.service.first_answers import FirstAnswers
from router.service.ledger_writer import LedgerWriter
from router.service.local_admissions import LocalAdmissions
from router.service.pool_share import PoolShare
from router.service.prices import Prices
from router.settings import Settings
from servicekit.tokens import utc_now
from stores.postgres import Database
from stores.valkey_link import ValkeyLink
from tenancy.usage_ports import Ledger


async def open_link(
    settings: Settings, share: PoolShare, metrics: Metrics, stack: AsyncExitStack
) -> tuple[AdmissionGate, FirstAnswers, ValkeySessions]:
    """What asks Valkey in every chat, over one connection; told when it goes down and comes up from its opening on."""
    link = ValkeyLink(settings.redis_url.get_secret_value(), metrics)
    admissions = AdmissionGate(ValkeyAdmissions(link), LocalAdmissions(share.live_routers), metrics)
    first_answers, sessions = FirstAnswers(ValkeyFirstAnswers(link)), ValkeySessions(link)
    link.listen(admissions.heard)
    stack.push_async_callback(admissions.close)
    await stack.enter_async_context(link)
    stack.push_async_callback(first_answers.close)
    return admissions, first_answers, sessions


async def open_prices(settings: Settings, database: Database) -> Prices:
    first = price_in_usd(
        settings.price_prompt_usd_per_mtok, settings.price_cached_usd_per_mtok, settings.price_completion_usd_per_mtok
    )
    prices = Prices(PostgresPriceStore(database), {ANY_MODEL: first})
    with suppress(AtriumError):  # the store is out of reach: read as soon as it is there
        await prices.refresh()
    return prices


async def open_accounts(
    admissions: AdmissionGate, ledger: Ledger, prices: Prices, metrics: Metrics, stack: AsyncExitStack
) -> Accounts:
    writer = LedgerWriter(ledger, metrics)
    await stack.enter_async_context(writer.running())
    accounts = Accounts(admissions, writer, ledger, prices.get, metrics, now=utc_now)
    await stack.enter_async_context(accounts.running())
    return accounts
