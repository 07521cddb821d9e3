"""`atrium chat`: one question, its answer as it is generated."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.client.locate import tenant_api
from cli.client.sse import ServerEvent
from cli.commands.options import DataDirOption, KeyOption, TenantOption, UrlOption
from cli.console import ERR, OUT, printable
from cli.errors import CliError

app = typer.Typer(add_completion=False)


@app.command()
def chat(
    question: Annotated[str, typer.Argument(help="What to ask; - reads it from standard input")],
    tenant: TenantOption,
    user: Annotated[str, typer.Option(help="Who asks")] = "cli",
    session: Annotated[str | None, typer.Option(help="A conversation's id; default: a new one")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Ask a question as a tenant's user. The answer goes to stdout as it comes; a refusal or an error to stderr.

    Exit code 0 for an answer, 1 for an error, 3 for a refusal.
    """
    query = sys.stdin.read() if question == "-" else question
    body = {"tenant_id": tenant, "user_id": user, "query": query, "stream": True}
    if session:
        body["session_id"] = session
    with tenant_api(url, key, data_dir, tenant).events("/chat", body) as events:
        show(events)


def show(events: Iterable[ServerEvent]) -> None:
    """Raises CliError for an `error` event and for an answer that breaks off."""
    citations: list[dict[str, Any]] = []
    for event in events:
        match event.name:
            case "token":
                sys.stdout.write(printable(str(event.data["text"])))
                sys.stdout.flush()
            case "citations":
                citations = list(event.data["citations"])
            case "refusal":
                _refused(event.data)
            case "error":
                sys.stdout.write("\n")
                error = event.data["error"]
                raise CliError(f"{printable(error['message'])} ({error['code']})")
            case "done":
                sys.stdout.write("\n")
                _cite(citations)
                return
    raise CliError("the answer broke off")


def _cite(citations: list[dict[str, Any]]) -> None:
    if citations:
        OUT.print()
    for place, citation in enumerate(citations, 1):
        number = citation.get("number") or place  # as the answer's text marks it
        title, document = printable(str(citation["title"])), printable(str(citation["document_id"]))
        OUT.print(Text(f"[{number}] {title} ({document}, {citation['score']:.2f})", style="dim"))


def _refused(data: dict[str, Any]) -> None:
    said = printable(str(data["message"]))
    ERR.print(Text.assemble(("Refused: ", "bold yellow"), said))
    raise typer.Exit(3)
