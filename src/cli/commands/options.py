"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CliError

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
OneTenantOption = Annotated[
    str | None, typer.Option("--tenant", "-t", envvar="ATRIUM_TENANT", help="The tenant's id; else --platform")
]
PlatformOption = Annotated[bool, typer.Option("--platform", help="The platform itself, no tenant")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs")]


def chosen_tenant(context: typer.Context, tenant: str | None, *, platform: bool) -> str | None:
    """None for the platform. Overruling what the environment says is meant, overruling one's own word is a slip."""
    if tenant is None and not platform:
        raise CliError("whose?", hint="--tenant T, or --platform")
    source = context.get_parameter_source("tenant")
    if platform and source is not None and source.name == "COMMANDLINE":
        raise CliError("either --tenant or --platform, not both")
    return None if platform else tenant
