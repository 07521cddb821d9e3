"""What an alarm is.

`page`: somebody gets up. `ticket`: somebody looks at it in working hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from observability.monitoring.signals import Signal, Total

Severity = Literal["page", "ticket"]
Comparison = Literal["above", "at_least", "below"]
Missing = Literal["fine", "unknown", "alarming"]
RUNBOOK = "docs/runbook.md"
MINUTE, QUARTER, HOUR, DAY = 60, 900, 3_600, 86_400


@dataclass(frozen=True, slots=True)
class Alarm:
    """On when `signal`, over `window_s`, is `when` the threshold, in so many `windows` in a row.

    `missing`, where CloudWatch has no data: of a counter that says that nothing happened (fine), of a gauge that nobody
    tells it (unknown; another alarm's business), of the sign of life that this is it (alarming).
    `unless`: alarms that explain this one, so that nobody is told of it while one of them is on.
    """

    name: str
    says: str
    severity: Severity
    signal: Signal
    when: Comparison
    threshold: float
    missing: Missing
    window_s: int = 300
    windows: int = 1
    unless: tuple[str, ...] = ()

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.name}"


def lost(name: str, says: str, severity: Severity, signal: Total) -> Alarm:
    """Of what must stay 0."""
    return Alarm(name, says, severity, signal, "at_least", 1, "fine")


def window(seconds: int) -> str:
    """As Prometheus writes it."""
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds % size == 0 and seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
