"""The engine of a turn: the platform's, or the tenant's own; and the model that it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from app.ports import Engine, ExternalEngines
from app.state import Turn
from contracts.chat import Route
from contracts.errors import UpstreamError


@dataclass(frozen=True, slots=True)
class Engines:
    platform: Engine
    external: ExternalEngines | None = None

    async def of(self, turn: Turn, route: Route) -> tuple[Engine, str | None]:
        """Raises UpstreamError, DependencyDownError."""
        request = turn.request
        if request.external is None:
            return self.platform, request.options.model or route.model or request.model
        if self.external is None:
            raise UpstreamError("this platform has no engines of tenants' own")
        return await self.external.of(turn.caller.context.tenant_id, request.external), None
