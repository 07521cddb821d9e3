"""Keys with an end, tenants with a state, config history with a reason, the audit chain, and the change counter.

What must not be altered is not granted: the service role can neither change nor delete a config version or an audit
event. Deleting a tenant goes through `purge_tenant`, which only touches the tenant of its own transaction, and only
once that tenant is marked as being deleted.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = """
ALTER TABLE tenants
  ADD display_name       text NOT NULL DEFAULT '',
  ADD state              text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleting')),
  ADD onboarding_key     bytea UNIQUE,
  ADD onboarding_request bytea,
  ADD onboarding_nonce   bytea;
COMMENT ON COLUMN tenants.onboarding_key IS
  'Hash of who onboarded it with which Idempotency-Key; onboarding_request of what was asked. The first admin key is
   derived from the nonce and a secret that is not in the database, so that a repeated request can show it again.';

ALTER TABLE tenant_configs ADD comment text NOT NULL DEFAULT '';
REVOKE UPDATE, DELETE ON tenant_configs FROM atrium_app;
REVOKE DELETE ON tenants FROM atrium_app;

ALTER TABLE api_keys
  ADD created_by   text NOT NULL DEFAULT 'platform',
  ADD expires_at   timestamptz,
  ADD last_used_at timestamptz;
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id);
"""

_AUDIT = """
CREATE TABLE audit_events (
  tenant_id   text REFERENCES tenants,
  seq         bigint NOT NULL,
  at          timestamptz NOT NULL,
  actor       text NOT NULL,
  role        text NOT NULL,
  address     text NOT NULL,
  request_id  text NOT NULL,
  action      text NOT NULL,
  resource    text NOT NULL,
  before_hash text,
  after_hash  text,
  details     text NOT NULL,
  prev_hash   text NOT NULL,
  hash        text NOT NULL,
  UNIQUE NULLS NOT DISTINCT (tenant_id, seq)
);
COMMENT ON COLUMN audit_events.tenant_id IS 'NULL: the platform''s own chain.';

CREATE TABLE audit_heads (
  tenant_id text REFERENCES tenants,
  seq       bigint NOT NULL,
  hash      text NOT NULL,
  UNIQUE NULLS NOT DISTINCT (tenant_id)
);
COMMENT ON TABLE audit_heads IS 'The last event of each chain: its row lock orders the writers.';

CREATE TABLE deletions (
  tenant_id    text PRIMARY KEY,
  requested_by text NOT NULL,
  request_id   text NOT NULL,
  started_at   timestamptz NOT NULL,
  removed      jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE deletions IS 'Deletions under way. A finished one is an event of the platform''s audit chain.';
"""

_RLS = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
"""

_POLICIES = """
CREATE POLICY own_rows ON audit_events
  USING (tenant_id = current_setting('app.tenant_id', true))
  WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
CREATE POLICY own_rows ON audit_heads
  USING (tenant_id = current_setting('app.tenant_id', true))
  WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
CREATE POLICY platform_rows ON audit_events
  USING (tenant_id IS NULL AND current_setting('app.platform', true) = 'on')
  WITH CHECK (tenant_id IS NULL AND current_setting('app.platform', true) = 'on');
CREATE POLICY platform_rows ON audit_heads
  USING (tenant_id IS NULL AND current_setting('app.platform', true) = 'on')
  WITH CHECK (tenant_id IS NULL AND current_setting('app.platform', true) = 'on');
CREATE POLICY platform_rows ON api_keys
  USING (tenant_id IS NULL AND current_setting('app.platform', true) = 'on')
  WITH CHECK (tenant_id IS NULL AND current_setting('app.platform', true) = 'on');
CREATE POLICY platform_rows ON deletions
  USING (current_setting('app.platform', true) = 'on')
  WITH CHECK (current_setting('app.platform', true) = 'on');
GRANT SELECT, INSERT ON audit_events TO atrium_app;
GRANT SELECT, INSERT, UPDATE ON audit_heads TO atrium_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON deletions TO atrium_app;
"""

# The counter's row stays locked until the writer commits, so that changes become visible in the order of their
# numbers: who has seen number n has seen all before it. The trigger runs at the commit, so the lock is short.
_CHANGES = """
CREATE TABLE change_counter (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), seq bigint NOT NULL);
INSERT INTO change_counter (seq) VALUES (0);
CREATE TABLE changes (subject text PRIMARY KEY, seq bigint NOT NULL);
CREATE INDEX changes_by_seq ON changes (seq);
COMMENT ON TABLE changes IS 'The last change to what routers remember of a tenant; subject '''' is the platform.';
ALTER TABLE change_counter ENABLE ROW LEVEL SECURITY;
ALTER TABLE changes ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_function_only ON change_counter TO atrium_app USING (false);
CREATE POLICY by_function_only ON changes TO atrium_app USING (false);
GRANT SELECT ON changes, change_counter TO atrium_app;

CREATE FUNCTION note_change() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  DECLARE
    whose text := coalesce(CASE WHEN TG_OP = 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END, '');
    next bigint;
  BEGIN
    -- Of a tenant that is being deleted routers know already that it is gone; its thousand keys say nothing new.
    IF TG_TABLE_NAME = 'api_keys' AND EXISTS (SELECT FROM tenants t WHERE t.tenant_id = whose AND t.state = 'deleting')
      THEN RETURN NULL; END IF;
    UPDATE change_counter SET seq = change_counter.seq + 1 RETURNING change_counter.seq INTO next;
    INSERT INTO changes (subject, seq) VALUES (whose, next) ON CONFLICT (subject) DO UPDATE SET seq = excluded.seq;
    RETURN NULL;
  END $$;

CREATE CONSTRAINT TRIGGER note_change AFTER DELETE OR UPDATE OF state, config_version ON tenants
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER note_change AFTER DELETE OR UPDATE OF expires_at, role, tenant_id, key_hash ON api_keys
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_change();

CREATE FUNCTION last_change() RETURNS bigint
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$ SELECT c.seq FROM change_counter c $$;

CREATE FUNCTION changes_after(last bigint) RETURNS TABLE (subject text, seq bigint)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$ SELECT c.subject, c.seq FROM changes c WHERE c.seq > last ORDER BY c.seq $$;
"""

# Children first. A test compares this list with the tables that have a tenant_id.
_FUNCTIONS = """
CREATE FUNCTION purge_tenant(at_most integer)
  RETURNS TABLE (name text, removed bigint)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  DECLARE
    whose text := current_setting('app.tenant_id', true);
  BEGIN
    PERFORM FROM tenants t WHERE t.tenant_id = whose AND t.state = 'deleting' FOR UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    FOREACH name IN ARRAY ARRAY['chunks', 'documents', 'api_keys', 'tenant_configs', 'audit_heads', 'audit_events'] LOOP
      EXECUTE format('DELETE FROM %I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %I WHERE tenant_id = $1 LIMIT $2))',
                     name, name) USING whose, at_most;
      GET DIAGNOSTICS removed = ROW_COUNT;
      IF removed > 0 THEN RETURN NEXT; END IF;
      IF removed = at_most THEN RETURN; END IF;
    END LOOP;
  END $$;

CREATE FUNCTION remove_purged_tenant() RETURNS boolean
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  BEGIN
    DELETE FROM tenants t WHERE t.tenant_id = current_setting('app.tenant_id', true) AND t.state = 'deleting';
    RETURN FOUND;
  END $$;

DROP FUNCTION find_api_key(bytea);
CREATE FUNCTION find_api_key(hash bytea)
  RETURNS TABLE (key_id text, tenant_id text, role text, expires_at timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$ SELECT k.key_id, k.tenant_id, k.role, k.expires_at FROM api_keys k WHERE k.key_hash = hash $$;

CREATE FUNCTION touch_api_keys(ids text[], used timestamptz[])
  RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$ UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, u.used)
        FROM unnest(ids, used) AS u (key_id, used) WHERE k.key_id = u.key_id $$;

DROP FUNCTION list_tenants(text, integer);
CREATE FUNCTION list_tenants(after text, at_most integer)
  RETURNS TABLE (tenant_id text, display_name text, tier text, state text, config_version integer,
                 created_at timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$ SELECT t.tenant_id, t.display_name, t.tier, t.state, t.config_version, t.created_at FROM tenants t
        WHERE t.tenant_id > after ORDER BY t.tenant_id LIMIT at_most $$;

REVOKE ALL ON FUNCTION note_change, last_change, changes_after, purge_tenant, remove_purged_tenant, find_api_key,
  touch_api_keys, list_tenants FROM PUBLIC;
GRANT EXECUTE ON FUNCTION last_change, changes_after, purge_tenant, remove_purged_tenant, find_api_key,
  touch_api_keys, list_tenants TO atrium_app;
"""

_DOWN = """
DROP TRIGGER note_change ON tenants;
DROP TRIGGER note_change ON api_keys;
DROP FUNCTION purge_tenant, remove_purged_tenant, touch_api_keys, note_change, last_change, changes_after,
  find_api_key, list_tenants;
DROP TABLE audit_events, audit_heads, deletions, changes, change_counter;
DROP POLICY platform_rows ON api_keys;
ALTER TABLE api_keys DROP created_by, DROP expires_at, DROP last_used_at;
ALTER TABLE tenant_configs DROP comment;
ALTER TABLE tenants DROP display_name, DROP state, DROP onboarding_key, DROP onboarding_request, DROP onboarding_nonce;
GRANT UPDATE, DELETE ON tenant_configs TO atrium_app;
GRANT DELETE ON tenants TO atrium_app;
DROP INDEX api_keys_by_tenant;

CREATE FUNCTION find_api_key(hash bytea)
  RETURNS TABLE (key_id text, tenant_id text, role text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$ SELECT k.key_id, k.tenant_id, k.role FROM api_keys k WHERE k.key_hash = hash $$;
CREATE FUNCTION list_tenants(after text, at_most integer)
  RETURNS TABLE (tenant_id text, tier text, config_version integer, created_at timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$ SELECT t.tenant_id, t.tier, t.config_version, t.created_at FROM tenants t
        WHERE t.tenant_id > after ORDER BY t.tenant_id LIMIT at_most $$;
REVOKE ALL ON FUNCTION find_api_key, list_tenants FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key, list_tenants TO atrium_app;
"""


def upgrade() -> None:
    op.execute(_COLUMNS)
    op.execute(_AUDIT)
    for table in ("audit_events", "audit_heads", "deletions"):
        op.execute(_RLS.format(table=table))
    op.execute(_POLICIES)
    op.execute(_CHANGES)
    op.execute(_FUNCTIONS)


def downgrade() -> None:
    op.execute(_DOWN)
