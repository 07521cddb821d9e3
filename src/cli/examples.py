"""The two example tenants of `examples/`: made, and given their documents, once a data directory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.client.api import Api, ApiError, tenant_path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class ExampleTenant:
    tenant_id: str
    config: dict[str, Any]
    documents: tuple[Path, ...]


def read_examples(folder: Path = EXAMPLES) -> list[ExampleTenant]:
    """Each folder with a config.json; its .md and .txt files are the documents."""
    return [
        ExampleTenant(
            tenant_id=config.parent.name,
            config=json.loads(config.read_text(encoding="utf-8")),
            documents=tuple(sorted(path for path in config.parent.iterdir() if path.suffix in {".md", ".txt"})),
        )
        for config in sorted(folder.glob("*/config.json"))
    ]


def load_examples(api: Api, marker: Path, examples: Iterable[ExampleTenant]) -> None:
    """Does nothing once it has been done to the end; cut short, it is done again. What is there stays as it is."""
    if marker.exists():
        return
    for example in examples:
        _create(api, example)
        for document in example.documents:
            fields = {"document_id": document.stem, "title": title_of(document)}
            api.upload(tenant_path(example.tenant_id, "documents"), document, fields)
    marker.touch(mode=0o600)


def title_of(document: Path) -> str:
    """The first heading of a Markdown file; else the file's name as words."""
    with document.open(encoding="utf-8") as lines:
        first = next(lines, "")
    return first.removeprefix("# ").strip() if first.startswith("# ") else document.stem.replace("-", " ").capitalize()


def _create(api: Api, example: ExampleTenant) -> None:
    try:
        api.call("POST", "/tenants", {"tenant_id": example.tenant_id, "config": example.config})
    except ApiError as error:
        if error.status != 409:
            raise
