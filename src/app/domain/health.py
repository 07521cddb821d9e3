"""Whether a replica is given work, by what became of the work it was given: a circuit breaker for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

FAILURES = 3
"""In a row, and a replica is ejected."""
FIRST_EJECTION_S = 1.0
LONGEST_EJECTION_S = 30.0
HANG_COUNTS_S = 5.0
"""Who was given less than this to answer has not hung."""


class HealthState(StrEnum):
    WELL = "well"
    EJECTED = "ejected"
    TRIAL_DUE = "trial_due"
    """Ejected for long enough: the next request is its trial."""


@dataclass(frozen=True, slots=True)
class Health:
    """A value: each method gives the next one. Times are seconds on one monotonic clock.

    A replica is ejected by FAILURES in a row, for a second; then one request at a time is its trial. Each trial that
    fails doubles the time, up to half a minute; one that is answered brings it back.
    """

    failures: int = 0
    ejections: int = 0
    until: float | None = None
    on_trial: bool = False

    def state(self, now: float) -> HealthState:
        if self.until is None:
            return HealthState.WELL
        return HealthState.EJECTED if self.on_trial or now < self.until else HealthState.TRIAL_DUE

    def failed(self, now: float) -> Health:
        failures = self.failures + 1
        if self.until is None and failures < FAILURES:
            return replace(self, failures=failures)
        if self.until is not None and not self.on_trial:
            return self  # of what it was given before it was ejected, or while all were
        lasts = min(FIRST_EJECTION_S * 2**self.ejections, LONGEST_EJECTION_S)
        return Health(failures, self.ejections + 1, now + lasts)

    def answered(self) -> Health:
        return WELL

    def tried(self, now: float) -> Health:
        """It is given a request."""
        return replace(self, on_trial=True) if self.state(now) is HealthState.TRIAL_DUE else self

    def untold(self) -> Health:
        """The request on trial was left before it could tell: the next one is the trial."""
        return replace(self, on_trial=False)


WELL = Health()


def patience_s(left_s: float, hang_s: float, *, others: bool) -> float:
    """How long a replica may take to its first token: with others to try, not so long that they could not."""
    return min(hang_s, left_s / 3) if others else left_s


def has_hung(waited_s: float, hang_s: float) -> bool:
    return waited_s >= min(hang_s, HANG_COUNTS_S)
