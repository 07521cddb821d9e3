"""`.json`: each value is a line with its path; an object's own values stand together.

Numbers stay as they are written, so that none is rounded and none is too long to read.
"""

from __future__ import annotations

import json
from typing import Any

from contracts.errors import InvalidRequestError
from rag.domain.extracted import Parsed
from rag.ingestion.formats.limits import MAX_DEPTH
from rag.ingestion.formats.plain import decoded
from rag.ingestion.formats.writing import Writer, one_line


def parse(content: bytes) -> Parsed:
    """Raises InvalidRequestError, BodyTooLargeError."""
    return written(loaded(decoded(content)))


def loaded(text: str) -> Any:
    """Raises InvalidRequestError."""
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"the file is not JSON: line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise InvalidRequestError(f"the file has values nested deeper than {MAX_DEPTH}") from error


def written(value: Any) -> Parsed:
    """Without recursion: containers wait until the values beside them are written."""
    writer = Writer()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while waiting:
        path, found = waiting.pop()
        if len(path) > MAX_DEPTH:
            raise InvalidRequestError(f"the file has values nested deeper than {MAX_DEPTH}")
        items = _items(found)
        own = [f"{key}: {_scalar(item)}" if key else _scalar(item) for key, item in items if not _is_container(item)]
        inner = [((*path, key), item) for key, item in items if _is_container(item)]
        for level, name in enumerate(path[-3:], 1):
            writer.path.enter(level, name)
        writer.text("\n".join(own))
        waiting.extend(reversed(inner))
    return writer.parsed()


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _items(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(one_line(key), item) for key, item in value.items()]
    if isinstance(value, list):
        return [(str(at) if _is_container(item) else "", item) for at, item in enumerate(value, 1)]
    return [("", value)]


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    return {None: "null", True: "true", False: "false"}.get(value, "") if not isinstance(value, dict | list) else ""
