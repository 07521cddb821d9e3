"""Tables without lines, for terminals and for pipes."""

from __future__ import annotations

from collections.abc import Collection

from rich.table import Table
from rich.text import Text

from cli.console import printable


def plain_table(*headings: str, fold: Collection[str] = (), numbers: Collection[str] = ()) -> Table:
    """The columns in `fold` give way where the terminal is narrow; those in `numbers` stand at the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        folds = heading in fold
        table.add_column(
            heading,
            no_wrap=not folds,
            overflow="fold" if folds else "ellipsis",
            justify="right" if heading in numbers else "left",
        )
    return table


def cell(value: object, style: str = "") -> Text:
    """What somebody else wrote, as plain text in one line: a line of its own could look like a row."""
    return Text(printable(str(value)).replace("\n", " "), style=style)
