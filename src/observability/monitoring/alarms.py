"""Every alarm, declared once. What each means and how to mend it: docs/runbook.md, under its name."""

from __future__ import annotations

from observability.monitoring.alarm import Alarm
from observability.monitoring.keeping_alarms import BACKGROUND, MONEY, STORES
from observability.monitoring.serving_alarms import ENGINES, REQUESTS, SILENCE

ALARMS: tuple[Alarm, ...] = (*REQUESTS, *ENGINES, *MONEY, *STORES, *BACKGROUND, *SILENCE)
