"""Count what goes wrong with a dependency."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from contracts.errors import DependencyDownError, OverloadedError, UpstreamError, UpstreamTimeoutError
from observability import names
from observability.metrics import Metrics


@contextmanager
def counted(metrics: Metrics, dependency: str) -> Iterator[None]:
    """Count failures that are the dependency's; a refusal of what was asked is not one."""
    try:
        yield
    except (UpstreamError, UpstreamTimeoutError, OverloadedError, DependencyDownError) as error:
        metrics.count(names.DEPENDENCY_FAILURE, dependency=dependency, reason=error.code)
        raise
