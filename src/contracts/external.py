"""An engine of a tenant's own, outside this platform: where it is, and by which key it is asked."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

EXTERNAL_POOL = "external"
"""The name, in the ledger and in metrics, of the pool that such an engine is."""


class ExternalEngine(BaseModel):
    """An endpoint that speaks OpenAI's chat completions. `api_key` is what its provider gave, as it is said; it is
    stored, shown and passed on sealed (`sealed:…`), and opened only where the engine is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    model: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
    api_key: Annotated[str, StringConstraints(min_length=1, max_length=4_096, pattern=r"^[\x21-\x7e]+$")] = Field(
        repr=False
    )
