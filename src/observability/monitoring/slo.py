"""What is promised of a month, and the alarms that say how fast it is being used up.

Multi-window, multi-burn-rate alarms after "The Site Reliability Workbook" (Beyer et al. 2018), chapter 5: a long window
so that no blip wakes anybody, a short one so that the alarm ends when its cause does.
"""

from __future__ import annotations

from dataclasses import dataclass

from observability import names
from observability.monitoring.alarm import DAY, HOUR, MINUTE, RUNBOOK, Alarm, Severity, window
from observability.monitoring.signals import Percentile, Share, Slower, Total

AT_LEAST = 20
"""Requests in a window: of fewer, a share says little."""


@dataclass(frozen=True, slots=True)
class Burn:
    """`factor` 1 uses up in the whole period exactly what may go wrong in it; 14.4, a fiftieth of it in an hour."""

    name: str
    factor: float
    long_s: int
    short_s: int
    severity: Severity


BURNS = (
    Burn("fast", 14.4, HOUR, 5 * MINUTE, "page"),
    Burn("slow", 6, 6 * HOUR, 30 * MINUTE, "page"),
    Burn("steady", 1, 3 * DAY, 6 * HOUR, "ticket"),
)


@dataclass(frozen=True, slots=True)
class Slo:
    """`objective`: the share of what is not `bad`, over `days`."""

    name: str
    says: str
    objective: float
    bad: Share | Slower
    days: int = 30

    @property
    def allowance(self) -> float:
        return round(1 - self.objective, 9)

    def threshold(self, burn: Burn) -> float:
        return round(self.allowance * burn.factor, 9)


@dataclass(frozen=True, slots=True)
class BurnAlarm:
    """On while both windows burn too fast."""

    slo: Slo
    burn: Burn

    @property
    def name(self) -> str:
        return f"{self.slo.name}-{self.burn.name}"

    @property
    def says(self) -> str:
        burn = self.burn
        spent = burn.factor * burn.long_s / (self.slo.days * DAY)
        return (
            f"{self.slo.says} What may go wrong in {self.slo.days} days is used up {burn.factor:g} times as fast as it"
            f" lasts: {spent:.0%} of it within {window(burn.long_s)}."
        )

    @property
    def severity(self) -> Severity:
        return self.burn.severity

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.name}"

    def parts(self) -> tuple[Alarm, Alarm]:
        """For CloudWatch, an alarm for each window, of which nobody is told."""
        return self._part(self.burn.long_s), self._part(self.burn.short_s)

    def _part(self, window_s: int) -> Alarm:
        """CloudWatch knows no window beyond a day: three days are three days in a row."""
        days = max(1, window_s // DAY)
        signal, threshold = _as_known_to_cloudwatch(self.slo, self.burn)
        name, says = f"{self.name}-{window(window_s)}", f"One window of {self.name}."
        length = window_s // days
        return Alarm(name, says, self.severity, signal, "above", threshold, "fine", window_s=length, windows=days)


def _as_known_to_cloudwatch(slo: Slo, burn: Burn) -> tuple[Share | Percentile, float]:
    """More than a tenth slower than x seconds: the ninetieth percentile is above x."""
    if isinstance(slo.bad, Share):
        return slo.bad, slo.threshold(burn)
    percent = round(100 * (1 - slo.threshold(burn)), 6)
    return Percentile(slo.bad.metric, percent, slo.bad.at_least), slo.bad.than


SLOS = (
    Slo(
        "availability",
        "99.9 % of all requests do not fail through a fault of ours.",
        0.999,
        Share(Total(names.FAULT_COUNT), Total(names.REQUEST_COUNT), AT_LEAST),
    ),
    Slo(
        "first-token",
        "95 % of all answers begin within 2.5 seconds.",
        0.95,
        Slower(names.TIME_TO_FIRST_TOKEN, 2.5, AT_LEAST),
    ),
)
BURN_ALARMS = tuple(BurnAlarm(slo, burn) for slo in SLOS for burn in BURNS)
