"""`group_by` of a query: some of what may be named, with commas."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import TypeVar

from contracts.errors import InvalidRequestError

G = TypeVar("G", bound=StrEnum)


def groups_of(said: str, known: Collection[G]) -> tuple[G, ...]:
    """In the order in which they are said. Raises InvalidRequestError for another name, and for one said twice."""
    by_name = {str(one): one for one in known}
    try:
        groups = tuple(by_name[name.strip()] for name in said.split(","))
    except KeyError:
        raise InvalidRequestError(f"group_by takes {', '.join(by_name)}; several with commas") from None
    if len(set(groups)) < len(groups):
        raise InvalidRequestError("group_by names something twice")
    return groups
