"""Whoever names a metric names one that exists: the pages of docs, and whatever is written for Prometheus or CloudWatch
below `infrastructure/`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from observability import names
from observability.metrics_page import page

ROOT = Path(__file__).parents[2]
PAGES = sorted((*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"))
BUILT = [
    path
    for path in sorted((ROOT / "infrastructure").rglob("*"))
    if path.suffix in {".json", ".yaml", ".yml", ".tf", ".tfvars"} and path.is_file()
]
PROMETHEUS = re.compile(r"\batrium_[a-z0-9_]+\b")
NOT_METRICS = {"atrium_app", "atrium_owner", "atrium_migrator", "atrium_context", "atrium_request_id"}
"""Names of other things that begin the same way: database roles, and variables."""


def known() -> set[str]:
    found = {metric.prometheus_name for metric in names.ALL}
    of_histograms = {metric.prometheus_name for metric in names.ALL if metric.kind == "histogram"}
    return found | {f"{name}_{end}" for name in of_histograms for end in ("bucket", "sum", "count")}


@pytest.mark.parametrize("path", [*PAGES, *BUILT], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_prometheus_name_that_is_written_somewhere_exists(path: Path) -> None:
    named = set(PROMETHEUS.findall(path.read_text(encoding="utf-8")))
    metrics = {name for name in named if name.endswith(("_total", "_seconds", "_bytes", "_bucket", "_sum"))}
    assert metrics - known() - NOT_METRICS == set()


def test_the_page_of_metrics_is_what_the_names_say() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == page()
