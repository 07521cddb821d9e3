"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", envvar="ATRIUM_DATA_DIR", help="Holds all local state; default ./.atrium")
]
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="ATRIUM_URL", help="The router; default: the stack of the data directory")
]
KeyOption = Annotated[
    str | None, typer.Option("--key", envvar="ATRIUM_KEY", help="An API key (atr_…)", show_envvar=True)
]
TenantOption = Annotated[str, typer.Option("--tenant", "-t", envvar="ATRIUM_TENANT", help="The tenant's id")]
