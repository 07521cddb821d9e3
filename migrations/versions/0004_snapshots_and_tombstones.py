"""The chunk log gets tombstones, so that an index can follow it, and the marks of the snapshots that shorten it.

`tenants.log_start` is how far back the log can be followed: what was removed up to there has no tombstone any more, and
an index from before it is built anew.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE tenants
  ADD log_start        bigint NOT NULL DEFAULT 0,
  ADD compacting_until timestamptz;
COMMENT ON COLUMN tenants.compacting_until IS 'Until then one replica writes a snapshot; others leave it to that one.';

ALTER TABLE chunks ADD heading text NOT NULL DEFAULT '';
CREATE INDEX chunks_by_seq ON chunks (tenant_id, seq);

CREATE TABLE chunk_tombstones (
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  seq       bigint NOT NULL,
  chunk_id  text NOT NULL,
  PRIMARY KEY (tenant_id, seq, chunk_id)
);
COMMENT ON TABLE chunk_tombstones IS 'Chunks that the write `seq` removed or replaced, as far back as log_start.';

CREATE TABLE snapshots (
  tenant_id  text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  model      text NOT NULL,
  seq        bigint NOT NULL,
  digest     bytea CHECK (length(digest) = 32),
  chunks     bigint NOT NULL,
  written_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, model)
);
COMMENT ON COLUMN snapshots.digest IS
  'SHA-256 of the manifest in the object store; NULL where there is none and only the log was shortened.';
"""

_SECURED = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON {table}
  USING (tenant_id = current_setting('app.tenant_id', true))
  WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
CREATE POLICY for_functions ON {table} TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO atrium_app;
"""

# A snapshot is due after so many writes, or one for each hundred chunks of a large tenant; and for fewer after a time
# that grows with the tenant, as the work does: twice as long at 20,000 chunks, 51 times at a million.
_DUE = """
CREATE FUNCTION corpora_to_compact(of_model text, writes bigint, age interval, stored boolean, at_most integer)
  RETURNS TABLE (tenant_id text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
    SELECT t.tenant_id FROM tenants t LEFT JOIN snapshots s ON s.tenant_id = t.tenant_id AND s.model = of_model
     WHERE t.state <> 'deleting' AND t.corpus_seq > 0
       AND coalesce(t.compacting_until, '-infinity') < clock_timestamp()
       AND (t.corpus_seq - coalesce(s.seq, 0) >= greatest(writes, s.chunks / 100)
            OR (t.corpus_seq > coalesce(s.seq, 0) AND coalesce(s.written_at, t.created_at)
                < clock_timestamp() - age * (1 + coalesce(s.chunks, 0) / 20000.0))
            OR (stored AND s.seq IS NOT NULL AND s.digest IS NULL))
     ORDER BY t.corpus_seq - coalesce(s.seq, 0) DESC, t.tenant_id LIMIT at_most
  $$;
REVOKE ALL ON FUNCTION corpora_to_compact FROM PUBLIC;
GRANT EXECUTE ON FUNCTION corpora_to_compact TO atrium_app;
"""

# Children first, the events before their sums. A test compares the list with the tables that have a tenant_id.
_PURGE = """
CREATE OR REPLACE FUNCTION purge_tenant(at_most integer)
  RETURNS TABLE (name text, removed bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  DECLARE
    whose text := current_setting('app.tenant_id', true);
  BEGIN
    PERFORM FROM tenants t WHERE t.tenant_id = whose AND t.state = 'deleting' FOR UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    FOREACH name IN ARRAY ARRAY[{tables}] LOOP
      EXECUTE format('DELETE FROM %I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %I WHERE tenant_id = $1 LIMIT $2))',
                     name, name) USING whose, at_most;
      GET DIAGNOSTICS removed = ROW_COUNT;
      IF removed > 0 THEN RETURN NEXT; END IF;
      IF removed = at_most THEN RETURN; END IF;
    END LOOP;
  END $$;
"""
_NEW = ("chunk_tombstones", "snapshots")
_BEFORE = (
    *("chunks", "documents", "api_keys", "tenant_configs", "audit_heads", "audit_events"),
    *("usage_events", "usage_by_day", "usage_by_user", "usage_by_user_month"),
)

_DOWN = """
DROP FUNCTION corpora_to_compact;
DROP TABLE chunk_tombstones, snapshots;
DROP INDEX chunks_by_seq;
ALTER TABLE chunks DROP heading;
ALTER TABLE tenants DROP log_start, DROP compacting_until;
"""


def _purge(tables: tuple[str, ...]) -> str:
    return _PURGE.format(tables=", ".join(f"'{table}'" for table in tables))


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _NEW:
        op.execute(_SECURED.format(table=table))
    op.execute(_DUE)
    op.execute(_purge((*_NEW, *_BEFORE)))


def downgrade() -> None:
    op.execute(_purge(_BEFORE))
    op.execute(_DOWN)
