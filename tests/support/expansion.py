"""What of a migration takes something away that the previous release's code may still use."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NOISE = re.compile(r"(?P<comment>--[^\n]*|/\*.*?\*/)|(\$\w*\$).*?\2|'(?:[^']|'')*'", re.DOTALL)
_NAME = r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:ONLY\s+)?(?:public\.)?\"?(\w+)\"?"
_CREATED = re.compile(rf"^CREATE\s+(?:UNLOGGED\s+)?TABLE\s+{_NAME}", re.IGNORECASE)
_ON_TABLE = re.compile(
    rf"^(?:ALTER\s+TABLE|TRUNCATE(?:\s+TABLE)?|DELETE\s+FROM|CREATE\s+UNIQUE\s+INDEX\b.*?\bON)\s+{_NAME}",
    re.IGNORECASE | re.DOTALL,
)
_LOSSES = {
    r"^DROP\s+(?!INDEX|TRIGGER)": "drops something",
    r"^ALTER\s+TABLE\b.*\bDROP\s+(?!CONSTRAINT|DEFAULT|NOT\s+NULL|EXPRESSION|IDENTITY)": "drops a column",
    r"^ALTER\b.*\bRENAME\b": "renames",
    r"^ALTER\b.*\bALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET\s+DATA\s+)?TYPE\b": "changes a column's type",
    r"^ALTER\b.*\bSET\s+NOT\s+NULL\b": "asks for what may be missing",
    r"^ALTER\b.*\bDROP\s+DEFAULT\b": "asks for what may be missing",
    r"^ALTER\b.*\bADD\s+(?:CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)\b": "forbids what was allowed",
    r"^ALTER\b.*\b(?:SET\s+SCHEMA|DISABLE\s+TRIGGER|(?:ENABLE|FORCE)\s+ROW)\b": "forbids what was allowed",
    r"^CREATE\s+UNIQUE\s+INDEX\b": "forbids what was allowed",
    r"^REVOKE\b(?!.*\bFROM\s+PUBLIC$)": "takes a right away",
    r"^(?:TRUNCATE|DELETE)\b": "removes rows",
}
_ADDED = re.compile(r"\bADD\s+(?:COLUMN\s+)?(?!CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)([^,]*)", re.IGNORECASE)


def losses(sql: str) -> list[str]:
    """A sentence for each statement of `sql` that is no expansion. What concerns only tables that it creates is one."""
    statements = [" ".join(part.split()) for part in _NOISE.sub(_quiet, sql).split(";")]
    created = {found[1].lower() for part in statements if (found := _CREATED.match(part))}
    return [f"{reason}: {part[:100]}" for part in statements for reason in _reasons(part, created)]


def _quiet(noise: re.Match[str]) -> str:
    return " " if noise["comment"] else " '' "


def _reasons(statement: str, created: set[str]) -> Iterator[str]:
    table = _ON_TABLE.match(statement)
    if table is not None and table[1].lower() in created:
        return
    for pattern, reason in _LOSSES.items():
        if re.match(pattern, statement, re.IGNORECASE | re.DOTALL):
            yield reason
    if re.match(r"ALTER\s+TABLE\b", statement, re.IGNORECASE):
        for added in _ADDED.findall(_without_brackets(statement)):
            if re.search(r"\bNOT\s+NULL\b", added, re.IGNORECASE) and not re.search(
                r"\b(?:DEFAULT|GENERATED)\b", added, re.IGNORECASE
            ):
                yield "adds a column that the older code does not fill"


def _without_brackets(statement: str) -> str:
    """Commas within a type or an expression part no columns."""
    while (shorter := re.sub(r"\([^()]*\)", " ", statement)) != statement:
        statement = shorter
    return statement
