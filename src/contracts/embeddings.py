"""`POST /v1/embeddings`: vectors in OpenAI's shape."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.text import Storable

MAX_INPUTS = 256

Input = Annotated[str, StringConstraints(min_length=1), Storable]


class EmbeddingsRequest(BaseModel):
    """`model`, if given, must be the one that is served: its whole name, or the part before the `@`.

    `encoding_format` `base64` is what OpenAI's client asks for unless told otherwise: 32-bit floats, little endian.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Input | Annotated[tuple[Input, ...], Field(min_length=1, max_length=MAX_INPUTS)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.input,) if isinstance(self.input, str) else self.input


class Embedding(BaseModel):
    """`embedding` is L2-normalised, so that a dot product is the cosine."""

    model_config = ConfigDict(frozen=True)

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    """Tokens that the model read: of a text longer than its window, the window's."""

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    model_config = ConfigDict(frozen=True)

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage
