"""When a turn was asked is told by PostgreSQL's clock, and never later than it was.

It was told as an age, which was taken off the clock once the locks were held: a turn that waited there for an erasure
seemed to have been asked behind it, and was kept. Who still tells an age has it taken off the moment of the call.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_FIELDS_BEFORE = "summary_from timestamptz)"
_FIELDS_NOW = "summary_from timestamptz, asked_at timestamptz)"
_ASKED_BEFORE = "asked := clock_timestamp() - make_interval(secs => told.age_s);"
_ASKED_NOW = "asked := coalesce(told.asked_at, statement_timestamp() - make_interval(secs => told.age_s));"


def _replace(*pairs: tuple[str, str]) -> None:
    """In `record_turns`, whatever the migrations before have made of it."""
    connection = op.get_bind()
    found = connection.exec_driver_sql("SELECT pg_get_functiondef('record_turns(jsonb)'::regprocedure)").scalar_one()
    for old, new in pairs:
        if old not in found:
            raise RuntimeError("record_turns does not look as its migration wrote it")
        found = found.replace(old, new)
    connection.exec_driver_sql(found.replace("%", "%%"))


def upgrade() -> None:
    _replace((_FIELDS_BEFORE, _FIELDS_NOW), (_ASKED_BEFORE, _ASKED_NOW))


def downgrade() -> None:
    _replace((_FIELDS_NOW, _FIELDS_BEFORE), (_ASKED_NOW, _ASKED_BEFORE))
