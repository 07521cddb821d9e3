"""The platform's price list."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Header, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from contracts.text import Storable
from router.api.dependencies import ActorDep, ServicesDep
from router.domain.config_tag import expected_versions
from router.domain.pricing import ANY_MODEL, Price, PriceList, nano_per_token, usd_per_mtok
from servicekit.problems import OPENAPI_ERRORS

api = APIRouter(tags=["prices"], responses=OPENAPI_ERRORS)

MAX_MODELS = 1_000


def _priced(value: Decimal) -> Decimal:
    nano_per_token(value)
    return value


Usd = Annotated[Decimal, AfterValidator(_priced)]
Model = Annotated[str, StringConstraints(min_length=1, max_length=256), Storable]
IfMatch = Annotated[str | None, Header()]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="those below this version")]
Limit = Annotated[int, Query(ge=1, le=100)]


class NewPrice(BaseModel):
    """USD per million tokens, in steps of 0.001. Without `cached_usd_per_mtok` a cached token costs as any other."""

    model_config = ConfigDict(extra="forbid")

    prompt_usd_per_mtok: Usd
    cached_usd_per_mtok: Usd | None = None
    completion_usd_per_mtok: Usd

    def price(self) -> Price:
        cached = self.prompt_usd_per_mtok if self.cached_usd_per_mtok is None else self.cached_usd_per_mtok
        return Price(
            nano_per_token(self.prompt_usd_per_mtok),
            nano_per_token(cached),
            nano_per_token(self.completion_usd_per_mtok),
        )


class NewPrices(BaseModel):
    """A whole list: prices by the model's exact name, and `*` for every other."""

    model_config = ConfigDict(extra="forbid")

    models: dict[Model, NewPrice] = Field(max_length=MAX_MODELS)

    @field_validator("models")
    @classmethod
    def _every_model_has_a_price(cls, models: dict[str, NewPrice]) -> dict[str, NewPrice]:
        if ANY_MODEL not in models:
            raise ValueError(f"a price for {ANY_MODEL!r} is needed: that of every model that is not named")
        return models


class ModelPrice(BaseModel):
    prompt_usd_per_mtok: float
    cached_usd_per_mtok: float
    completion_usd_per_mtok: float


class PriceVersion(BaseModel):
    version: int
    valid_from: datetime
    author: str
    models: dict[str, ModelPrice]


class PricePage(BaseModel):
    items: list[PriceVersion]
    next: int | None


@api.get("/prices")
async def versions(found: ServicesDep, before: Before = None, limit: Limit = 20) -> PricePage:
    """The versions of the price list, newest first: the first one is in force."""
    lists = await found.prices.versions(before=before, limit=limit)
    more = len(lists) == limit and lists[-1].version > 1
    return PricePage(items=[_item(listed) for listed in lists], next=lists[-1].version if more else None)


@api.post("/prices", status_code=201)
async def add(body: NewPrices, actor: ActorDep, found: ServicesDep, if_match: IfMatch = None) -> PriceVersion:
    """A new version, in force at once, on other routers within five seconds. What was billed stays as it was."""
    prices = {model: price.price() for model, price in body.models.items()}
    return _item(await found.prices.add(prices, by=actor, expected=expected_versions(if_match)))


def _item(listed: PriceList) -> PriceVersion:
    return PriceVersion(
        version=listed.version,
        valid_from=listed.valid_from,
        author=listed.author,
        models={
            model: ModelPrice(
                prompt_usd_per_mtok=usd_per_mtok(price.prompt),
                cached_usd_per_mtok=usd_per_mtok(price.cached),
                completion_usd_per_mtok=usd_per_mtok(price.completion),
            )
            for model, price in listed.prices.items()
        },
    )
