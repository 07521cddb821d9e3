"""What the RAG service does behind requests: no jobs of suspended tenants, no snapshots of very small ones, and copies
on replicas' disks that are not current any more are found with one question."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_CLAIM = """
CREATE OR REPLACE FUNCTION claim_ingest_job(by_whom text, lease interval, served text[])
  RETURNS TABLE (tenant_id text, document_id text, job_id text, born timestamptz, attempts integer)
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
    WITH next AS (
      SELECT j.tenant_id, j.document_id, t.created_at AS born
        FROM ingest_jobs j JOIN tenants t ON t.tenant_id = j.tenant_id
       WHERE j.state <> 'failed' AND {standing}
         AND (j.state = 'queued' OR j.lease_until < clock_timestamp())
       ORDER BY array_position(served, j.tenant_id) NULLS FIRST, j.created_at, j.document_id
       LIMIT 1 FOR UPDATE OF j SKIP LOCKED)
    UPDATE ingest_jobs j SET state = 'processing', lease_owner = by_whom, lease_until = clock_timestamp() + lease,
           attempts = j.attempts + 1
      FROM next n WHERE j.tenant_id = n.tenant_id AND j.document_id = n.document_id
    RETURNING j.tenant_id, j.document_id, j.job_id, n.born, j.attempts
  $$;
"""

# As in 0004; what is new is from which size on a tenant is to have a snapshot at all.
_DUE = """
CREATE FUNCTION corpora_to_compact(of_model text, writes bigint, age interval, {parameter}, at_most integer)
  RETURNS TABLE (tenant_id text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
    SELECT t.tenant_id FROM tenants t LEFT JOIN snapshots s ON s.tenant_id = t.tenant_id AND s.model = of_model
     WHERE t.state <> 'deleting' AND t.corpus_seq > 0
       AND coalesce(t.compacting_until, '-infinity') < clock_timestamp()
       AND (t.corpus_seq - coalesce(s.seq, 0) >= greatest(writes, s.chunks / 100)
            OR (t.corpus_seq > coalesce(s.seq, 0) AND coalesce(s.written_at, t.created_at)
                < clock_timestamp() - age * (1 + coalesce(s.chunks, 0) / 20000.0))
            OR (s.seq IS NOT NULL AND s.digest IS NULL AND {wanted}))
     ORDER BY t.corpus_seq - coalesce(s.seq, 0) DESC, t.tenant_id LIMIT at_most
  $$;
REVOKE ALL ON FUNCTION corpora_to_compact FROM PUBLIC;
GRANT EXECUTE ON FUNCTION corpora_to_compact TO atrium_app;
"""
_DROP_DUE = "DROP FUNCTION corpora_to_compact"

# A mark at sequence 0 is one whose snapshot could not be used.
_FROM_A_SIZE_ON = {"parameter": "stored_from bigint", "wanted": "(s.seq = 0 OR s.chunks >= stored_from)"}
_ALWAYS = {"parameter": "stored boolean", "wanted": "stored"}

# What a replica holds of other replicas' tenants, in one question: which of it is to go, and whose tenant is no more.
_STALE = """
CREATE FUNCTION stale_copies(of_model text, tenants_held text[], digests bytea[], births timestamptz[])
  RETURNS TABLE (tenant_id text, gone boolean)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
    SELECT h.tenant_id, t.tenant_id IS NULL OR (h.born IS NOT NULL AND t.created_at <> h.born)
      FROM unnest(tenants_held, digests, births) AS h (tenant_id, digest, born)
      LEFT JOIN tenants t ON t.tenant_id = h.tenant_id AND t.state <> 'deleting'
      LEFT JOIN snapshots s ON s.tenant_id = h.tenant_id AND s.model = of_model
     WHERE t.tenant_id IS NULL OR t.created_at <> h.born
        OR (h.digest IS NOT NULL AND s.digest IS DISTINCT FROM h.digest)
  $$;
REVOKE ALL ON FUNCTION stale_copies FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stale_copies TO atrium_app;
"""


def upgrade() -> None:
    op.execute(_CLAIM.format(standing="t.state = 'active'"))
    op.execute(_DROP_DUE)
    op.execute(_DUE.format(**_FROM_A_SIZE_ON))
    op.execute(_STALE)


def downgrade() -> None:
    op.execute("DROP FUNCTION stale_copies")
    op.execute(_DROP_DUE)
    op.execute(_DUE.format(**_ALWAYS))
    op.execute(_CLAIM.format(standing="t.state <> 'deleting'"))
