"""Ingestion jobs: large uploads that are read, embedded and committed behind the request that brought them.

A job is a row with a lease: whichever replica holds it works on it, and where the lease ends, another takes it over.
What is embedded is kept in parts until the whole document is committed, so that no work is done twice. A job that is
done is gone (the document itself says so); one that failed stays, with its reason, until the document is sent again or
deleted.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# `file` is for installations without an object store.
_TABLES = """

CREATE TABLE ingest_jobs (
  tenant_id    text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  document_id  text NOT NULL,
  job_id       text NOT NULL,
  title        text NOT NULL,
  filename     text NOT NULL,
  metadata     jsonb NOT NULL,
  content_hash bytea NOT NULL,
  bytes        integer NOT NULL,
  file         bytea,
  state        text NOT NULL
               CHECK (state IN ('receiving', 'queued', 'processing', 'committing', 'failed')),
  chunks_done  integer NOT NULL DEFAULT 0,
  chunks_total integer,
  error        text,
  attempts     integer NOT NULL DEFAULT 0,
  lease_owner  text,
  lease_until  timestamptz,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, document_id)
);
CREATE INDEX ingest_jobs_open ON ingest_jobs (created_at) WHERE state <> 'failed';
COMMENT ON COLUMN ingest_jobs.job_id IS 'Another upload of the document is another job: work on the first is void.';

CREATE TABLE ingest_parts (
  tenant_id   text NOT NULL,
  document_id text NOT NULL,
  job_id      text NOT NULL,
  first_chunk integer NOT NULL,
  texts_hash  bytea NOT NULL,
  vectors     bytea NOT NULL,
  PRIMARY KEY (tenant_id, document_id, job_id, first_chunk),
  FOREIGN KEY (tenant_id, document_id) REFERENCES ingest_jobs ON DELETE CASCADE
);
COMMENT ON COLUMN ingest_parts.texts_hash IS 'SHA-256 over the model and the texts that the vectors stand for.';
"""

_SECURED = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON {table}
  USING (tenant_id = current_setting('app.tenant_id', true))
  WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO atrium_app;
"""

# Tenants take turns: the caller says whom it has served, the latest last, and who is not among them goes first.
_CLAIM = """
CREATE POLICY for_functions ON ingest_jobs TO CURRENT_USER USING (true);

CREATE FUNCTION claim_ingest_job(by_whom text, lease interval, served text[])
  RETURNS TABLE (tenant_id text, document_id text, job_id text, born timestamptz, attempts integer)
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
    WITH next AS (
      SELECT j.tenant_id, j.document_id, t.created_at AS born
        FROM ingest_jobs j JOIN tenants t ON t.tenant_id = j.tenant_id
       WHERE j.state <> 'failed' AND t.state <> 'deleting'
         AND (j.state = 'queued' OR j.lease_until < clock_timestamp())
       ORDER BY array_position(served, j.tenant_id) NULLS FIRST, j.created_at, j.document_id
       LIMIT 1 FOR UPDATE OF j SKIP LOCKED)
    UPDATE ingest_jobs j SET state = 'processing', lease_owner = by_whom, lease_until = clock_timestamp() + lease,
           attempts = j.attempts + 1
      FROM next n WHERE j.tenant_id = n.tenant_id AND j.document_id = n.document_id
    RETURNING j.tenant_id, j.document_id, j.job_id, n.born, j.attempts
  $$;
REVOKE ALL ON FUNCTION claim_ingest_job FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_ingest_job TO atrium_app;
"""

_DOWN = """
DROP FUNCTION claim_ingest_job;
DROP TABLE ingest_parts, ingest_jobs;
"""
_LIST = "FOREACH name IN ARRAY ARRAY["
_OURS = "'ingest_parts', 'ingest_jobs', "


def _replace_in_purge(old: str, new: str) -> None:
    """The list of tables in `purge_tenant`, whatever the migrations before have put into it."""
    connection = op.get_bind()
    found = connection.exec_driver_sql("SELECT pg_get_functiondef('purge_tenant(integer)'::regprocedure)").scalar_one()
    if old not in found:
        raise RuntimeError("purge_tenant does not look as its migration wrote it")
    connection.exec_driver_sql(found.replace(old, new).replace("%", "%%"))


def upgrade() -> None:
    op.execute(_TABLES)
    for table in ("ingest_jobs", "ingest_parts"):
        op.execute(_SECURED.format(table=table))
    op.execute(_CLAIM)
    _replace_in_purge(_LIST, _LIST + _OURS)


def downgrade() -> None:
    _replace_in_purge(_LIST + _OURS, _LIST)
    op.execute(_DOWN)
