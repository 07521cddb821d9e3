"""The statements of the chunk log. Each names the tenant although row-level security would: two locks, two keys."""

from __future__ import annotations

from sqlalchemy import text

VERSION = text("SELECT corpus_seq, created_at FROM tenants WHERE tenant_id = :tenant")
LOCK_TENANT = text("SELECT corpus_seq FROM tenants WHERE tenant_id = :tenant FOR NO KEY UPDATE")
LOCK_DOCUMENT = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('atrium document ' || :tenant || ' ' || :document, 0))"
)
"""Taken before the tenant's row by everyone who writes a document."""
NEXT_SEQ = text("UPDATE tenants SET corpus_seq = corpus_seq + 1 WHERE tenant_id = :tenant RETURNING corpus_seq")

# One statement, so one moment: its first row is the version, and says which chunks were removed after the sequence
# `after`; the others are those that came after it. A document's metadata comes once, with its first chunk.
_VERSION_AND = "SELECT * FROM (SELECT t.corpus_seq AS seq, t.created_at AS born, t.log_start,"
_NOTHING_REMOVED = "NULL::text[]"
_REMOVED = "ARRAY(SELECT chunk_id FROM chunk_tombstones WHERE tenant_id = :tenant AND seq > :after)"
_AND_CHUNKS = """ AS removed,
             NULL AS chunk_id, NULL AS document_id, NULL::jsonb AS metadata, NULL AS title, 0 AS ordinal, NULL AS body,
             NULL AS heading, 0 AS char_start, 0 AS char_end, NULL::bytea AS embedding, NULL AS model, NULL AS tenant_id
      FROM tenants t WHERE t.tenant_id = :tenant
      UNION ALL
      SELECT c.seq, NULL, NULL, NULL, c.chunk_id, c.document_id, CASE WHEN c.ordinal = 0 THEN d.metadata END, d.title,
             c.ordinal, c.body, c.heading, c.char_start, c.char_end, c.embedding, c.model, c.tenant_id
      FROM chunks c JOIN documents d USING (tenant_id, document_id)
      WHERE c.tenant_id = :tenant AND c.seq > :after
    ) log ORDER BY document_id COLLATE "C" NULLS FIRST, ordinal
"""
CORPUS = text(f"{_VERSION_AND} {_NOTHING_REMOVED} {_AND_CHUNKS}")
TAIL = text(f"{_VERSION_AND} {_REMOVED} {_AND_CHUNKS}")

STANDING = text("""
    SELECT d.document_id, d.title, d.filename, d.metadata, d.content_hash, d.bytes, d.chunks, d.seq,
           (SELECT c.model FROM chunks c
            WHERE c.tenant_id = d.tenant_id AND c.document_id = d.document_id LIMIT 1) AS model
    FROM documents d WHERE d.tenant_id = :tenant AND d.document_id = :document
""")

# The day a document first came is kept when it is replaced.
PUT_DOCUMENT = text("""
    INSERT INTO documents
      (tenant_id, document_id, title, filename, metadata, content_hash, bytes, chunks, seq)
    VALUES
      (:tenant, :document, :title, :filename, CAST(:metadata AS jsonb), :content_hash, :bytes, :chunks, :seq)
    ON CONFLICT (tenant_id, document_id) DO UPDATE SET
      title = EXCLUDED.title, filename = EXCLUDED.filename, metadata = EXCLUDED.metadata,
      content_hash = EXCLUDED.content_hash, bytes = EXCLUDED.bytes, chunks = EXCLUDED.chunks, seq = EXCLUDED.seq
""")

INSERT_CHUNK = text("""
    INSERT INTO chunks
      (tenant_id, chunk_id, document_id, ordinal, seq, body, heading, char_start, char_end, embedding, model)
    VALUES
      (:tenant, :chunk, :document, :ordinal, :seq, :body, :heading, :start, :end, :embedding, :model)
""")

# Chunks of a large document wait under the sequence 0, which no write has, in a transaction that nobody sees into. The
# tenant's key is held from the first of them on, so that no deletion of the tenant waits for them and they for it.
STAGED = 0
CONTENT = text("""
    SELECT (SELECT content_hash FROM documents WHERE tenant_id = :tenant AND document_id = :document) AS content_hash
    FROM tenants t WHERE t.tenant_id = :tenant FOR KEY SHARE OF t
""")
PLACE_CHUNKS = text("UPDATE chunks SET seq = :seq WHERE tenant_id = :tenant AND document_id = :document AND seq = 0")

PASSAGES = text("""
    SELECT chunk_id, char_start, char_end, body FROM chunks
    WHERE tenant_id = :tenant AND document_id = :document ORDER BY ordinal
""")

REMOVE_CHUNKS = text("""
    WITH gone AS (
      DELETE FROM chunks WHERE tenant_id = :tenant AND document_id = :document AND seq > 0
      RETURNING tenant_id, chunk_id)
    INSERT INTO chunk_tombstones (tenant_id, seq, chunk_id) SELECT tenant_id, :seq, chunk_id FROM gone
""")
DELETE_DOCUMENT = text("DELETE FROM documents WHERE tenant_id = :tenant AND document_id = :document")

_INFO = "SELECT document_id, title, filename, metadata, bytes, chunks, seq, created_at FROM documents"

DOCUMENT = text(f"{_INFO} WHERE tenant_id = :tenant AND document_id = :document")
DOCUMENTS = text(f"""
    {_INFO} WHERE tenant_id = :tenant AND document_id COLLATE "C" > :after
    ORDER BY document_id COLLATE "C" LIMIT :limit
""")
