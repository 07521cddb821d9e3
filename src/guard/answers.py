"""What an answer is read with, under one config version."""

from __future__ import annotations

from dataclasses import dataclass

from guard.expressions import Expressions
from guard.literals import Literals
from guard.prompts import BASE_WEIGHT, NESTED_WEIGHT
from guard.rules import Rule, Stage, Verdict, verdict

MIN_BLOCK = 32


@dataclass(frozen=True, slots=True)
class OutputRules:
    """What a StreamGuard reads an answer with. `width`: canonical characters that a match of an expression has at
    most."""

    rules: tuple[Rule, ...]
    literals: Literals
    expressions: Expressions
    width: int

    @property
    def any(self) -> bool:
        return self.literals.any or self.expressions.any

    @property
    def block(self) -> int:
        """Canonical characters from one window to the next."""
        return max(MIN_BLOCK, self.width // 4)

    @property
    def weight(self) -> int:
        """The work for each character of an answer at worst, in about nanoseconds: where a token's is more than an
        event loop may be held up, the answer is to be read in a thread."""
        windows = (self.width + self.block) / self.block
        return BASE_WEIGHT + NESTED_WEIGHT * (self.literals.weight - 1) + round(windows * self.expressions.weight)

    def verdict(self, rank: int) -> Verdict:
        return verdict(self.rules[rank], Stage.OUTPUT)
