"""What tokens cost. Money is a whole number of nano-USD (1e-9 USD) everywhere inside; USD are for people and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from contracts.external import EXTERNAL_POOL

ANY_MODEL = "*"
_EXTERNAL = f"{EXTERNAL_POOL}/"
ANY_EXTERNAL = f"{_EXTERNAL}*"
NANO = 1_000_000_000
_NANO_PER_TOKEN = 1_000
"""A USD per million tokens is a thousand nano-USD a token."""
MAX_USD_PER_MTOK = 1_000_000
FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-USD a token. `cached`: a prompt token that the engine had cached."""

    prompt: int
    cached: int
    completion: int

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> int:
        """Nano-USD. `cached_tokens` are among the `prompt_tokens`."""
        fresh = prompt_tokens - cached_tokens
        return fresh * self.prompt + cached_tokens * self.cached + completion_tokens * self.completion

    def worst(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Nano-USD that so many tokens can cost at most, whatever is cached."""
        return prompt_tokens * max(self.prompt, self.cached) + completion_tokens * self.completion


FREE = Price(0, 0, 0)


@dataclass(frozen=True, slots=True)
class PriceList:
    """One version, which never changes. Has a price for `*`: that of every model that it does not name."""

    version: int
    prices: Mapping[str, Price]
    valid_from: datetime
    author: str

    def of(self, model: str) -> Price:
        """A model of a tenant's own engine costs what the tenant's provider takes, and here nothing, unless a price is
        said for `external/*` or for the model itself."""
        found = self.prices.get(model)
        if found is None:
            found = self.prices.get(ANY_EXTERNAL, FREE) if model.startswith(_EXTERNAL) else self.prices[ANY_MODEL]
        return found


def external_model(model: str) -> str:
    """The name under which a model of a tenant's own engine is priced and billed."""
    return f"{_EXTERNAL}{model}"


def nano_per_token(usd_per_mtok: Decimal) -> int:
    """Raises ValueError for a price that is not a multiple of 0.001 USD per million tokens, or is none."""
    if not usd_per_mtok.is_finite() or not 0 <= usd_per_mtok <= MAX_USD_PER_MTOK:
        raise ValueError(f"a price is between 0 and {MAX_USD_PER_MTOK} USD per million tokens")
    nano = usd_per_mtok * _NANO_PER_TOKEN
    if nano != int(nano):
        raise ValueError("a price is a multiple of 0.001 USD per million tokens: a nano-USD a token")
    return int(nano)


def price_in_usd(prompt: Decimal, cached: Decimal | None, completion: Decimal) -> Price:
    """Of USD per million tokens; a cached token costs as any other where nothing is said. Raises ValueError."""
    fresh = nano_per_token(prompt)
    return Price(fresh, fresh if cached is None else nano_per_token(cached), nano_per_token(completion))


def usd_per_mtok(nano_per_token: int) -> float:
    return nano_per_token / _NANO_PER_TOKEN


def usd(nano_usd: int) -> float:
    """For JSON: the float nearest to it."""
    return nano_usd / NANO


def usd_text(nano_usd: int) -> str:
    """To the last digit: `0.000001234`."""
    return f"{Decimal(nano_usd).scaleb(-9):f}"
