"""The statements of the chunk log. Each names the tenant although row-level security would: two locks, two keys."""

from __future__ import annotations

from sqlalchemy import text

VERSION = text("SELECT corpus_seq, created_at FROM tenants WHERE tenant_id = :tenant")
LOCK_TENANT = text("SELECT 1 FROM tenants WHERE tenant_id = :tenant FOR UPDATE")
NEXT_SEQ = text("UPDATE tenants SET corpus_seq = corpus_seq + 1 WHERE tenant_id = :tenant RETURNING corpus_seq")

CHUNKS = text("""
    SELECT c.tenant_id, c.chunk_id, c.document_id, d.title, c.body, c.char_start, c.char_end, c.embedding, c.model
    FROM chunks c JOIN documents d USING (tenant_id, document_id)
    WHERE c.tenant_id = :tenant
    ORDER BY c.document_id COLLATE "C", c.ordinal
""")

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
      (tenant_id, chunk_id, document_id, ordinal, seq, body, char_start, char_end, embedding, model)
    VALUES
      (:tenant, :chunk, :document, :ordinal, :seq, :body, :start, :end, :embedding, :model)
""")

PASSAGES = text("""
    SELECT chunk_id, char_start, char_end, body FROM chunks
    WHERE tenant_id = :tenant AND document_id = :document ORDER BY ordinal
""")

DELETE_CHUNKS = text("DELETE FROM chunks WHERE tenant_id = :tenant AND document_id = :document")
DELETE_DOCUMENT = text("DELETE FROM documents WHERE tenant_id = :tenant AND document_id = :document")

_INFO = "SELECT document_id, title, filename, metadata, bytes, chunks, seq, created_at FROM documents"

DOCUMENT = text(f"{_INFO} WHERE tenant_id = :tenant AND document_id = :document")
DOCUMENTS = text(f"""
    {_INFO} WHERE tenant_id = :tenant AND document_id COLLATE "C" > :after
    ORDER BY document_id COLLATE "C" LIMIT :limit
""")
