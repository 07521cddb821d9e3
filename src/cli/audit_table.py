"""Audit events for people: a table where there is room for it, else two lines for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.console import ERR, OUT
from cli.table import cell, plain_table


def show_events(events: Sequence[dict[str, Any]]) -> None:
    if not events:
        ERR.print("No events.")
        return
    wide = _table(events)
    if Measurement.get(OUT, OUT.options.update(width=10_000), wide).maximum <= OUT.width:
        OUT.print(wide)
        return
    width = max(len(event["action"]) for event in events)
    for event in events:
        OUT.print(_block(event, width))


def _table(events: Sequence[dict[str, Any]]) -> Table:
    headings = ("#", "time (UTC)", "actor", "action", "resource", "from", "request")
    table = plain_table(*headings, numbers=("#",))
    for event in events:
        table.add_row(
            cell(event["seq"], "dim"),
            cell(_time(event)),
            cell(event["actor"]),
            cell(event["action"], "bold"),
            cell(event["resource"]),
            cell(event["address"] or "-"),
            cell(event["request_id"] or "-", "dim"),
        )
    return table


def _block(event: dict[str, Any], width: int) -> Text:
    number = f"#{event['seq']}"
    by = " ".join(filter(None, [event["actor"], event["address"] and f"from {event['address']}", event["request_id"]]))
    return Text.assemble(
        (f"{number:<6}", "dim"),
        f"{_time(event)} UTC  ",
        cell(event["action"].ljust(width), "bold"),
        "  ",
        cell(event["resource"]),
        "\n      ",
        cell(by, "dim"),
    )


def _time(event: dict[str, Any]) -> str:
    return str(event["at"])[:19].replace("T", " ")
