"""What a moderation service says of a text, and what that makes of a request."""

from __future__ import annotations

import re
from dataclasses import dataclass

from contracts.chat import Refusal
from tenancy.config import ModerationStage

MODERATION = "moderation"
"""A refusal's reason."""
UNSPECIFIED = "unspecified"
MAX_CATEGORIES = 8
_FOREIGN = re.compile(r"[^A-Za-z0-9_./-]+")
_MAX_NAME = 64

_MESSAGES: dict[ModerationStage, str] = {
    "input": "I can't help with that: it goes against the content policy.",
    "output": "I can't go on with this answer: it goes against the content policy.",
}


@dataclass(frozen=True, slots=True)
class Moderated:
    """`categories`: what for, the clearest first; none of a text that passes."""

    flagged: bool
    categories: tuple[str, ...] = ()


PASSED = Moderated(flagged=False)


def flagged_for(*categories: str) -> Moderated:
    """Names as a service gave them, made fit for a rule's id: a service's text goes nowhere else."""
    names = (_FOREIGN.sub("_", category[:_MAX_NAME]) for category in categories[:MAX_CATEGORIES])
    return Moderated(flagged=True, categories=tuple(dict.fromkeys(name for name in names if name)) or (UNSPECIFIED,))


def refusal_of(moderated: Moderated, stage: ModerationStage) -> Refusal | None:
    """None for a text that passes."""
    if not moderated.flagged:
        return None
    category = moderated.categories[0] if moderated.categories else UNSPECIFIED
    return Refusal(reason=MODERATION, rule_id=f"{MODERATION}:{category}", stage=stage, message=_MESSAGES[stage])
