"""What the user reads when the stack is ready."""

from __future__ import annotations

import shlex

from cli.local.data_dir import DataDir
from cli.local.secrets import Secrets
from cli.local.stack import Stack

QUESTION = "Which shop has the cheapest extra virgin olive oil?"


def summary(data_dir: DataDir, stack: Stack, secrets: Secrets, *, examples: bool, detached: bool) -> str:
    """Plain text. The platform key is in it until it has been shown once."""
    lines = [
        "",
        f"Atrium is ready at {stack.router_url}",
        "",
        f"  API docs    {stack.router_url}/docs",
        f"  State       {data_dir.path}",
        f"  Logs        {data_dir.logs}",
    ]
    if not secrets.platform_key_shown:
        lines += [
            f"  Key         {secrets.platform_key}",
            f"              platform admin; not shown again, kept in {data_dir.secrets}",
        ]
    if examples:
        lines += [
            "",
            "Ask tenant t1 something:",
            "",
            *_indented(curl(stack.router_url)),
            "",
            *_indented(_chat(data_dir)),
        ]
    lines += ["", f"Stop it with `atrium down{_where(data_dir)}`." if detached else "Ctrl-C stops everything.", ""]
    return "\n".join(lines)


def curl(router_url: str) -> str:
    """In lines that a terminal of 100 columns does not wrap."""
    fields = '"tenant_id": "t1", "user_id": "u123", "session_id": "s456", "locale": "en-US"'
    return (
        f"curl -s {router_url}/chat \\\n"
        "  -H 'Content-Type: application/json' -H 'X-Tenant-Id: t1' \\\n"
        f"  -d '{{{fields},\n"
        f'       "query": "{QUESTION}"}}\''
    )


def _chat(data_dir: DataDir) -> str:
    return f"atrium chat --tenant t1{_where(data_dir)} {shlex.quote(QUESTION)}"


def _where(data_dir: DataDir) -> str:
    return "" if data_dir == DataDir.at(None) else f" --data-dir {shlex.quote(str(data_dir.path))}"


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
