"""`python -m observability.metrics_page > docs/metrics.md`: every metric, under each of its names."""

from __future__ import annotations

import sys

from observability import names
from observability.names import CloudWatch, Metric

HEAD = (
    "# Metrics\n\n"
    "Made from `src/observability/names.py` by `python -m observability.metrics_page`; a test fails where the two"
    " differ.\n\n"
    "`/metrics` of each service tells Prometheus all of them. What has a CloudWatch name goes to the namespace"
    f" `{names.NAMESPACE}` as well, with `METRICS_SINK=emf` or `cloudwatch`, in each of the sets of dimensions that are"
    " named (`-` is the set without any: the sum of all), and from the services that are named alone, so that a request"
    " is counted once.\n\n"
    "In Prometheus what has a `route` has a `component` as well: each service (`router`, `orchestrator`, `rag`) tells"
    " it of the requests that it answers itself, so that one chat is in it three times. Our dashboards and rules look"
    ' at `component="router"`; so should whoever adds up.\n\n'
    "`tenant` is the id of one of the `METRICS_TOP_TENANTS` tenants with the most traffic in this process, `other` for"
    " the rest, empty (CloudWatch: `none`) where no tenant that exists was named. `route` is the intent of a chat, or"
    " the HTTP operation. Distributions go to CloudWatch as values and counts, so that every percentile can be asked"
    " for. A gauge is sent once an interval by each process: over a period of that length `Sum` is that of all"
    " processes, `Maximum` the largest.\n"
)
_TABLE = """
| Prometheus | CloudWatch | kind, unit | dimensions | |
|---|---|---|---|---|
"""


def page() -> str:
    return HEAD + _TABLE + "".join(map(_row, names.ALL))


def _row(metric: Metric) -> str:
    dimensions = ", ".join(metric.prometheus_labels) or "-"
    sent = _sent(metric.name, metric.cloudwatch) if metric.cloudwatch else "-"
    kind = f"{metric.kind}, {metric.unit}"
    return f"| `{metric.prometheus_name}` | {sent} | {kind} | {dimensions} | {metric.help} |\n"


def _sent(name: str, how: CloudWatch) -> str:
    sets = "; ".join(", ".join(one) or "-" for one in how.sets)
    by = "all" if how.sent_by == names.SERVICES else ", ".join(how.sent_by)
    return f"`{name}` [{sets}] from: {by}"


if __name__ == "__main__":
    sys.stdout.write(page())
