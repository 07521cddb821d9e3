"""What a deletion removed and what it left, by store and kind (`postgres.chunks`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from cli.table import cell, plain_table


def left(receipt: Mapping[str, Any]) -> int:
    return sum(int(count) for count in receipt["left"].values())


def table(receipt: Mapping[str, Any]) -> Table:
    """A row for each store and kind that was counted, before, after, or both."""
    found = plain_table("store", "kind", "removed", "left", numbers=("removed", "left"))
    removed, remaining = receipt["removed"], receipt["left"]
    for name in sorted({*removed, *remaining}):
        store, _, kind = name.partition(".")
        gone = removed.get(name, _sum_of(removed, store) if not kind else 0)
        after = remaining.get(name)
        found.add_row(
            cell(store, "bold"),
            cell(kind or "all"),
            cell(f"{gone:,}"),
            cell("" if after is None else f"{after:,}", "bold red" if after else ""),
        )
    return found


def _sum_of(counts: Mapping[str, int], store: str) -> int:
    return sum(count for name, count in counts.items() if name.startswith(f"{store}."))
