"""Questions whose built-in route is known: what the orchestrator's judgement of a new one is made from.

They are the orchestrator's alone and travel in no request. None is one of those that `make bench-intents` measures by.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.known_questions import diet_nutrition, general, price_compare
from contracts.routes import GENERAL


def _read(text: str) -> tuple[str, ...]:
    return tuple(text.strip().splitlines())


KNOWN_QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "PRICE_COMPARE": _read(price_compare.QUESTIONS),
    "DIET_NUTRITION": _read(diet_nutrition.QUESTIONS),
    GENERAL: _read(general.QUESTIONS),
}
"""By route, each question once."""
KNOWN_TEXTS = tuple(text for texts in KNOWN_QUESTIONS.values() for text in texts)
"""All of them, in their order."""
