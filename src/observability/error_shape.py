"""How an error is told: Atrium's envelope, or on the paths of another API's door as that API's clients know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

from contracts.errors import ErrorBody, ErrorEnvelope

_KEY = "atrium.error_shape"


@dataclass(frozen=True, slots=True)
class ToldError:
    """What is sent. `headers` have lower-case names."""

    status: int
    content: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


ErrorShape = Callable[[int, ErrorBody, Mapping[str, str]], ToldError]
"""From the status, the error and the headers as Atrium would tell it."""


def envelope(status: int, error: ErrorBody, headers: Mapping[str, str]) -> ToldError:
    return ToldError(status, ErrorEnvelope(error=error).model_dump(mode="json"), headers)


def attach_shape(scope: Scope, shapes: Mapping[str, ErrorShape]) -> None:
    """`shapes` by the beginning of the paths that they are for."""
    found = (shape for prefix, shape in shapes.items() if scope["path"].startswith(prefix))
    scope[_KEY] = next(found, envelope)


def told(scope: Scope, status: int, error: ErrorBody, headers: Mapping[str, str]) -> ToldError:
    shape: ErrorShape = scope.get(_KEY, envelope)
    return shape(status, error, headers)
