"""How much of a turn's time a step before the generation may take."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from app.ports import Caller
from servicekit.client import seconds_left
from servicekit.tokens import utc_now

SHARE = 0.25
"""Of the time that is left: two such steps leave the generation more than half of it."""


def bounded(caller: Caller, within_s: float) -> Caller:
    """The same caller, who must have its answer within so many seconds, or a quarter of what is left to it."""
    left = min(within_s, SHARE * seconds_left(caller.context.deadline))
    return replace(caller, until=utc_now() + timedelta(seconds=left))
