"""What `/readyz` says of a service and of what it needs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

State = Literal["ok", "down"]


class Readiness(BaseModel):
    model_config = ConfigDict(frozen=True)

    status: Literal["ready", "unready"]
    dependencies: dict[str, State]
