"""The first event of a turn: what was decided before its first word."""

from __future__ import annotations

from app.state import Turn, TurnState
from contracts.chat import MetaEvent


def meta_of(state: TurnState, turn: Turn, *, model: str = "") -> MetaEvent:
    choice, progress = state["choice"], turn.progress
    return MetaEvent(
        route=choice.route.name,
        route_score=choice.score,
        runner_up=choice.runner_up,
        runner_up_score=choice.runner_up_score,
        model=model,
        prompt=progress.prompt,
        chunk_ids=progress.chunk_ids,
        degraded=progress.degraded,
    )
