"""Tenants, versioned config, API keys, documents and the chunk log, all behind row-level security.

The services connect as a member of `atrium_app`: not the owner, no BYPASSRLS. Where a service must look across
tenants (a key's owner, the list of tenants) it calls a named SECURITY DEFINER function and sees its result only.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT_TABLES = ("tenants", "tenant_configs", "documents", "chunks")

_ROLE = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'atrium_app') THEN
    CREATE ROLE atrium_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
  END IF;
END $$
"""

_TABLES = """
CREATE TABLE tenants (
  tenant_id      text PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  tier           text NOT NULL,
  config_version integer NOT NULL,
  corpus_seq     bigint NOT NULL DEFAULT 0,
  created_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN tenants.corpus_seq IS 'Last sequence of the tenant''s chunk log; its row lock orders the writers.';

CREATE TABLE tenant_configs (
  tenant_id  text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  version    integer NOT NULL,
  config     jsonb NOT NULL,
  author     text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, version)
);

CREATE TABLE api_keys (
  key_id     text PRIMARY KEY,
  key_hash   bytea NOT NULL UNIQUE CHECK (length(key_hash) = 32),
  tenant_id  text REFERENCES tenants ON DELETE CASCADE,
  role       text NOT NULL,
  label      text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((role = 'platform_admin') = (tenant_id IS NULL))
);
COMMENT ON COLUMN api_keys.tenant_id IS 'NULL for a platform key.';

CREATE TABLE documents (
  tenant_id    text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  document_id  text NOT NULL,
  title        text NOT NULL,
  filename     text NOT NULL,
  metadata     jsonb NOT NULL,
  content_hash bytea NOT NULL,
  bytes        integer NOT NULL,
  chunks       integer NOT NULL,
  seq          bigint NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, document_id)
);

CREATE TABLE chunks (
  tenant_id    text NOT NULL,
  chunk_id     text NOT NULL,
  document_id  text NOT NULL,
  ordinal      integer NOT NULL,
  seq          bigint NOT NULL,
  body         text NOT NULL,
  char_start   integer NOT NULL,
  char_end     integer NOT NULL,
  embedding    bytea NOT NULL,
  model        text NOT NULL,
  PRIMARY KEY (tenant_id, chunk_id),
  FOREIGN KEY (tenant_id, document_id) REFERENCES documents ON DELETE CASCADE
);
CREATE INDEX chunks_by_document ON chunks (tenant_id, document_id);
COMMENT ON COLUMN chunks.embedding IS 'IEEE 754 half precision, little endian, L2-normalised.';
"""

_POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON {table}
  USING (tenant_id = current_setting('app.tenant_id', true))
  WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO atrium_app;
"""

# The owner is subject to FORCE as well, so the functions below run with a policy of the owner's own.
_API_KEYS = """
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON api_keys
  USING (tenant_id = current_setting('app.tenant_id', true))
  WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO atrium_app;
CREATE POLICY for_functions ON tenants FOR SELECT TO CURRENT_USER USING (true);
"""

_FUNCTIONS = """
CREATE FUNCTION find_api_key(hash bytea)
  RETURNS TABLE (key_id text, tenant_id text, role text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$ SELECT k.key_id, k.tenant_id, k.role FROM api_keys k WHERE k.key_hash = hash $$;

CREATE FUNCTION list_tenants(after text, at_most integer)
  RETURNS TABLE (tenant_id text, tier text, config_version integer, created_at timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$ SELECT t.tenant_id, t.tier, t.config_version, t.created_at FROM tenants t
        WHERE t.tenant_id > after ORDER BY t.tenant_id LIMIT at_most $$;

CREATE FUNCTION add_first_platform_key(id text, hash bytea, said_label text)
  RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  BEGIN
    LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM api_keys k WHERE k.tenant_id IS NULL) THEN RETURN false; END IF;
    INSERT INTO api_keys (key_id, key_hash, role, label) VALUES (id, hash, 'platform_admin', said_label);
    RETURN true;
  END $$;

REVOKE ALL ON FUNCTION find_api_key, list_tenants, add_first_platform_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key, list_tenants, add_first_platform_key TO atrium_app;
"""


def upgrade() -> None:
    op.execute(_ROLE)
    op.execute(_TABLES)
    for table in TENANT_TABLES:
        op.execute(_POLICY.format(table=table))
    op.execute(_API_KEYS)
    op.execute(_FUNCTIONS)


def downgrade() -> None:
    op.execute("DROP FUNCTION find_api_key, list_tenants, add_first_platform_key")
    op.execute("DROP TABLE chunks, documents, api_keys, tenant_configs, tenants")
