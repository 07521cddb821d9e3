"""How a tenant wants its passages ranked: part of its config, said with every search."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Weight = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Ranking(BaseModel):
    """`vectors` and `words`: how much the rankings by meaning and by words say in the fused one. `diversity` between 0
    and 1 puts passages that are unlike each other first (maximal marginal relevance); null leaves the order. `rerank`:
    the best are read again together with the question, where a model for that is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vectors: _Weight = 1.0
    words: _Weight = 1.0
    diversity: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    rerank: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.vectors and not self.words:
            raise ValueError("vectors and words: one of them is more than 0")
        return self
