"""`python -m observability.monitoring`, from the top of the repository: writes everything that is made of it.

`files` says what; a test fails where what is committed differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import yaml  # type: ignore[import-untyped]

from observability.monitoring import cloudwatch_alarms, prometheus_rules
from observability.monitoring.alarms import ALARMS
from observability.monitoring.cloudwatch_dashboards import body
from observability.monitoring.dashboards import DASHBOARDS
from observability.monitoring.grafana import dashboard_model
from observability.monitoring.slo import BURN_ALARMS, SLOS

TERRAFORM = Path("infrastructure/terraform/modules/observability/generated")
COMPONENT = Path("infrastructure/kubernetes/components/monitoring")
RULES = Path("infrastructure/monitoring/prometheus-rules.yaml")
HEAD = "# Made by `python -m observability.monitoring`: change src/observability/monitoring instead.\n"


def files() -> dict[Path, str]:
    """By path from the top of the repository."""
    rules = prometheus_rules.document(ALARMS, SLOS, BURN_ALARMS)
    return {
        TERRAFORM / "alarms.json": _json(cloudwatch_alarms.document(ALARMS, BURN_ALARMS)),
        **{TERRAFORM / "dashboards" / f"{one.name}.json": _json(body(one)) for one in DASHBOARDS},
        **{COMPONENT / "dashboards" / f"atrium-{one.name}.json": _json(dashboard_model(one)) for one in DASHBOARDS},
        COMPONENT / "prometheus-rule.yaml": _yaml(prometheus_rules.custom_resource(rules)),
        RULES: _yaml(rules),
    }


def _json(found: dict[str, Any]) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n"


def _yaml(found: dict[str, Any]) -> str:
    return HEAD + str(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=120))


def write(top: Path) -> None:
    for path, text in files().items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path.cwd())
