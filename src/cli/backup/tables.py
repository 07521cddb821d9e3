"""The database as rows: out by COPY under one snapshot, and back by COPY into a schema that our own migrations made.

Not pg_dump: what that writes is a program, which a restore would run as the owner of everything. Rows are data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from psycopg import Connection, sql

VIEWS = frozenset({"snapshots"})
"""Marks of what the object store holds below `rag/`: made again of the chunk log, so not part of a backup."""
_NOT_DATA = VIEWS | {"alembic_version"}
_PIECE_BYTES = 1 << 20

_SAME_TEXT = "SET LOCAL client_encoding TO 'UTF8'; SET LOCAL DateStyle TO 'ISO, YMD'; SET LOCAL TimeZone TO 'UTC'"
_COLUMNS = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.relname ORDER BY c.relname
"""
_REFERENCES = """
SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conrelid <> confrelid
"""
_SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY sequencename"


@dataclass(frozen=True)
class Shape:
    """A table and its columns, those that are computed left out."""

    name: str
    columns: tuple[str, ...]


def say_everything_alike(connection: Connection) -> None:
    """Within the transaction: so that a value has one text, wherever it is written or read."""
    connection.execute(_SAME_TEXT)


def revision(connection: Connection) -> str | None:
    """The schema's; None where no migration ever ran."""
    if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() == (None,):
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found[0]) if found else None


def shapes(connection: Connection) -> list[Shape]:
    """Of all that is backed up; a table after those that it refers to."""
    found = {
        str(name): Shape(str(name), tuple(columns))
        for name, columns in connection.execute(_COLUMNS)
        if name not in _NOT_DATA
    }
    graph: dict[str, set[str]] = {name: set() for name in found}
    for table, other in connection.execute(_REFERENCES):
        if table in found and other in found:
            graph[table].add(other)
    return [found[name] for name in TopologicalSorter(graph).static_order()]


def sequences(connection: Connection) -> dict[str, int | None]:
    """Read behind the rows: a sequence is in no snapshot, and what is further on than needed does no harm."""
    return {str(name): last for name, last in connection.execute(_SEQUENCES)}


class RowsOut:
    """A table's rows as PostgreSQL's text format. `rows` is known when all were read."""

    def __init__(self, connection: Connection, shape: Shape) -> None:
        self._connection, self._shape = connection, shape
        self.rows = 0

    def pieces(self) -> Iterator[bytes]:
        held: list[bytes] = []
        size = 0
        with self._connection.cursor() as cursor:
            with cursor.copy(_copy("COPY {} ({}) TO STDOUT", self._shape)) as copy:
                for row in copy:
                    held.append(bytes(row))
                    size += len(row)
                    if size >= _PIECE_BYTES:
                        yield b"".join(held)
                        held, size = [], 0
            self.rows = cursor.rowcount
        yield b"".join(held)


def empty(connection: Connection, tables: Iterable[Shape]) -> None:
    """Of what the migrations themselves have put there; with the views, which refer to tenants."""
    names = sql.SQL(", ").join(sql.Identifier("public", shape.name) for shape in tables)
    connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(names))


def rows_in(connection: Connection, shape: Shape, pieces: Iterable[bytes]) -> int:
    """Returns how many. Checks and references hold as ever; our triggers, which would note a change, do not run."""
    table = sql.Identifier("public", shape.name)
    connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(table))
    with connection.cursor() as cursor:
        with cursor.copy(_copy("COPY {} ({}) FROM STDIN", shape)) as copy:
            for piece in pieces:
                copy.write(piece)
        rows = cursor.rowcount
    connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(table))
    return rows


def set_sequences(connection: Connection, last: Mapping[str, int | None]) -> None:
    for name, value in last.items():
        if value is not None:
            quoted = sql.Identifier("public", name).as_string(connection)
            connection.execute("SELECT setval(%s::regclass, %s)", (quoted, value))


def _copy(statement: str, shape: Shape) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in shape.columns)
    return sql.SQL(statement).format(sql.Identifier("public", shape.name), columns)
