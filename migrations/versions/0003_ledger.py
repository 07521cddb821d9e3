"""The usage ledger with its sums by day, and the price list.

The service role reads its tenant's rows and writes none: writing crosses tenants (a batch has rows of many), so it goes
through `record_usage` and `close_orphans`. Both keep the sums in the transaction of the events.

Whoever writes locks in one order, so that none waits for another in a circle: tenants, then events, then sums by day,
then sums by user, each in the order of its key. A deletion locks its tenant first as well, and for itself alone.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Of `usage_events` nothing is indexed that a renewal changes, so that renewing writes no index. No foreign key on the
# tenant: the functions lock each batch's tenants once, which a key would do again for every row.
_TABLES = """
CREATE TABLE usage_events (
  tenant_id         text NOT NULL,
  event_id          text NOT NULL,
  request_id        text NOT NULL,
  user_id           text NOT NULL,
  session_id        text NOT NULL,
  route             text NOT NULL,
  model             text NOT NULL,
  pool              text NOT NULL,
  prompt_tokens     bigint NOT NULL CHECK (prompt_tokens >= 0),
  cached_tokens     bigint NOT NULL CHECK (cached_tokens >= 0),
  completion_tokens bigint NOT NULL CHECK (completion_tokens >= 0),
  price_version     integer NOT NULL,
  cost_nano_usd     bigint NOT NULL CHECK (cost_nano_usd >= 0),
  outcome           text CHECK (outcome IN ('answered', 'refused', 'error', 'timeout', 'disconnected', 'crashed')),
  state             text NOT NULL CHECK (state IN ('open', 'settled')),
  started_at        timestamptz NOT NULL,
  renewed_at        timestamptz NOT NULL,
  settled_at        timestamptz,
  PRIMARY KEY (tenant_id, event_id),
  CHECK ((state = 'open') = (outcome IS NULL) AND (state = 'open') = (settled_at IS NULL))
) WITH (fillfactor = 90);
CREATE INDEX usage_events_open ON usage_events (tenant_id, started_at) WHERE state = 'open';
COMMENT ON COLUMN usage_events.cached_tokens IS 'Of the prompt tokens, those that the engine had cached.';

CREATE TABLE usage_by_day (
  tenant_id         text NOT NULL,
  day               date NOT NULL,
  route             text NOT NULL,
  model             text NOT NULL,
  price_version     integer NOT NULL,
  requests          bigint NOT NULL,
  prompt_tokens     bigint NOT NULL,
  cached_tokens     bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  cost_nano_usd     bigint NOT NULL,
  PRIMARY KEY (tenant_id, day, route, model, price_version)
) WITH (fillfactor = 70);
COMMENT ON TABLE usage_by_day IS 'Sums of the settled events by the UTC day on which they started.';

CREATE TABLE usage_by_user (
  tenant_id         text NOT NULL,
  day               date NOT NULL,
  user_id           text NOT NULL,
  route             text NOT NULL,
  model             text NOT NULL,
  requests          bigint NOT NULL,
  prompt_tokens     bigint NOT NULL,
  cached_tokens     bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  cost_nano_usd     bigint NOT NULL,
  PRIMARY KEY (tenant_id, day, user_id, route, model)
) WITH (fillfactor = 70);
COMMENT ON TABLE usage_by_user IS 'The same sums by user: apart, so that what does not ask for users reads few rows.';

CREATE TABLE usage_by_user_month (
  tenant_id         text NOT NULL,
  month             date NOT NULL CHECK (extract(day FROM month) = 1),
  user_id           text NOT NULL,
  route             text NOT NULL,
  model             text NOT NULL,
  requests          bigint NOT NULL,
  prompt_tokens     bigint NOT NULL,
  cached_tokens     bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  cost_nano_usd     bigint NOT NULL,
  PRIMARY KEY (tenant_id, month, user_id, route, model)
) WITH (fillfactor = 70);
COMMENT ON TABLE usage_by_user_month IS 'Whole months of usage_by_user, by their first day: for long spans.';

CREATE TABLE prices (
  version    integer NOT NULL CHECK (version > 0),
  model      text NOT NULL,
  prompt     bigint NOT NULL CHECK (prompt >= 0),
  cached     bigint NOT NULL CHECK (cached >= 0),
  completion bigint NOT NULL CHECK (completion >= 0),
  valid_from timestamptz NOT NULL,
  author     text NOT NULL,
  PRIMARY KEY (version, model)
);
COMMENT ON TABLE prices IS
  'The platform''s price list, nano-USD per token. A version is a whole list and never changes; model * is any other.';
"""

_SECURED = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
"""

# The owner is subject to FORCE as well, so the functions below run with policies of the owner's own.
_OF_TENANTS = """
CREATE POLICY own_rows ON {table} FOR SELECT USING (tenant_id = current_setting('app.tenant_id', true));
CREATE POLICY for_functions ON {table} TO CURRENT_USER USING (true);
GRANT SELECT ON {table} TO atrium_app;
"""

_POLICIES = """
CREATE POLICY locked_by_functions ON tenants FOR UPDATE TO CURRENT_USER USING (true);
CREATE POLICY platform_rows ON prices
  USING (current_setting('app.platform', true) = 'on')
  WITH CHECK (current_setting('app.platform', true) = 'on');
GRANT SELECT, INSERT ON prices TO atrium_app;
"""

_RECORD = """
CREATE FUNCTION add_usage(added usage_events[], removed usage_events[]) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  BEGIN
    INSERT INTO usage_by_day AS s
    SELECT e.tenant_id, (e.started_at AT TIME ZONE 'UTC')::date, e.route, e.model, e.price_version,
           sum(e.sign), sum(e.sign * e.prompt_tokens), sum(e.sign * e.cached_tokens),
           sum(e.sign * e.completion_tokens), sum(e.sign * e.cost_nano_usd)
      FROM (SELECT 1 AS sign, a.* FROM unnest(added) a UNION ALL SELECT -1, r.* FROM unnest(removed) r) e
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, day, route, model, price_version) DO UPDATE SET
      requests = s.requests + excluded.requests,
      prompt_tokens = s.prompt_tokens + excluded.prompt_tokens,
      cached_tokens = s.cached_tokens + excluded.cached_tokens,
      completion_tokens = s.completion_tokens + excluded.completion_tokens,
      cost_nano_usd = s.cost_nano_usd + excluded.cost_nano_usd;
    INSERT INTO usage_by_user AS s
    SELECT e.tenant_id, (e.started_at AT TIME ZONE 'UTC')::date, e.user_id, e.route, e.model,
           sum(e.sign), sum(e.sign * e.prompt_tokens), sum(e.sign * e.cached_tokens),
           sum(e.sign * e.completion_tokens), sum(e.sign * e.cost_nano_usd)
      FROM (SELECT 1 AS sign, a.* FROM unnest(added) a UNION ALL SELECT -1, r.* FROM unnest(removed) r) e
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, day, user_id, route, model) DO UPDATE SET
      requests = s.requests + excluded.requests,
      prompt_tokens = s.prompt_tokens + excluded.prompt_tokens,
      cached_tokens = s.cached_tokens + excluded.cached_tokens,
      completion_tokens = s.completion_tokens + excluded.completion_tokens,
      cost_nano_usd = s.cost_nano_usd + excluded.cost_nano_usd;
    INSERT INTO usage_by_user_month AS s
    SELECT e.tenant_id, date_trunc('month', e.started_at AT TIME ZONE 'UTC')::date, e.user_id, e.route, e.model,
           sum(e.sign), sum(e.sign * e.prompt_tokens), sum(e.sign * e.cached_tokens),
           sum(e.sign * e.completion_tokens), sum(e.sign * e.cost_nano_usd)
      FROM (SELECT 1 AS sign, a.* FROM unnest(added) a UNION ALL SELECT -1, r.* FROM unnest(removed) r) e
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, month, user_id, route, model) DO UPDATE SET
      requests = s.requests + excluded.requests,
      prompt_tokens = s.prompt_tokens + excluded.prompt_tokens,
      cached_tokens = s.cached_tokens + excluded.cached_tokens,
      completion_tokens = s.completion_tokens + excluded.completion_tokens,
      cost_nano_usd = s.cost_nano_usd + excluded.cost_nano_usd;
  END $$;

-- Events with an outcome are settled, those without are open; each key at most once (tenancy.usage.coalesced).
-- What happens to an event that is there already is said in tenancy.usage.written_over: this is the same, for sets.
CREATE FUNCTION record_usage(events jsonb) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  DECLARE
    live tenants[];
    given usage_events[];
    fresh usage_events[];
    before usage_events[];
    after usage_events[];
  BEGIN
    live := ARRAY(SELECT t FROM tenants t
      WHERE t.tenant_id IN (SELECT e ->> 'tenant_id' FROM jsonb_array_elements(events) e) AND t.state <> 'deleting'
      ORDER BY t.tenant_id FOR KEY SHARE);
    given := ARRAY(SELECT ROW(e.tenant_id, e.event_id, e.request_id, e.user_id, e.session_id, e.route, e.model, e.pool,
        e.prompt_tokens, e.cached_tokens, e.completion_tokens, e.price_version, e.cost_nano_usd, e.outcome,
        CASE WHEN e.outcome IS NULL THEN 'open' ELSE 'settled' END, e.started_at, clock_timestamp(),
        CASE WHEN e.outcome IS NOT NULL THEN clock_timestamp() END)::usage_events
      FROM jsonb_to_recordset(events) AS e(tenant_id text, tenant_born timestamptz, event_id text, request_id text,
        user_id text, session_id text, route text, model text, pool text, prompt_tokens bigint, cached_tokens bigint,
        completion_tokens bigint, price_version integer, cost_nano_usd bigint, outcome text, started_at timestamptz)
      JOIN unnest(live) t ON t.tenant_id = e.tenant_id AND t.created_at = coalesce(e.tenant_born, t.created_at));

    WITH made AS (
      INSERT INTO usage_events SELECT g.* FROM unnest(given) g ORDER BY g.tenant_id, g.event_id
      ON CONFLICT DO NOTHING RETURNING usage_events AS row)
    SELECT coalesce(array_agg(m.row), '{}') INTO fresh FROM made m;

    IF cardinality(fresh) < cardinality(given) THEN
      -- A statement of its own, so that it sees what another writer committed while the one above waited for it.
      before := ARRAY(SELECT u FROM usage_events u
        JOIN unnest(given) g ON g.tenant_id = u.tenant_id AND g.event_id = u.event_id
        WHERE (u.state = 'open' OR u.outcome = 'crashed')
          AND NOT EXISTS (SELECT FROM unnest(fresh) f WHERE f.tenant_id = g.tenant_id AND f.event_id = g.event_id)
        ORDER BY u.tenant_id, u.event_id FOR UPDATE OF u);
      before := ARRAY(SELECT b FROM unnest(before) b
        JOIN unnest(given) g ON g.tenant_id = b.tenant_id AND g.event_id = b.event_id
        WHERE g.state = 'settled'
           OR (g.prompt_tokens >= b.prompt_tokens AND g.completion_tokens >= b.completion_tokens));
      WITH changed AS (
        UPDATE usage_events u SET
          request_id = g.request_id, user_id = g.user_id, session_id = g.session_id, route = g.route, model = g.model,
          pool = g.pool, prompt_tokens = g.prompt_tokens, cached_tokens = g.cached_tokens,
          completion_tokens = g.completion_tokens, price_version = g.price_version, cost_nano_usd = g.cost_nano_usd,
          outcome = coalesce(g.outcome, b.outcome), started_at = g.started_at, renewed_at = g.renewed_at,
          state = CASE WHEN g.state = 'settled' THEN g.state ELSE b.state END,
          settled_at = coalesce(g.settled_at, b.settled_at)
        FROM unnest(before) b JOIN unnest(given) g ON g.tenant_id = b.tenant_id AND g.event_id = b.event_id
        WHERE u.tenant_id = b.tenant_id AND u.event_id = b.event_id RETURNING u AS row)
      SELECT coalesce(array_agg(c.row), '{}') INTO after FROM changed c;
    END IF;

    PERFORM add_usage(
      ARRAY(SELECT e FROM unnest(fresh || after) e WHERE e.state = 'settled'),
      ARRAY(SELECT e FROM unnest(before) e WHERE e.state = 'settled'));
  END $$;

CREATE FUNCTION close_orphans(older_than interval, at_most integer) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  DECLARE
    live text[];
    closed usage_events[];
  BEGIN
    live := ARRAY(SELECT t.tenant_id FROM tenants t
      WHERE t.tenant_id IN (SELECT u.tenant_id FROM usage_events u
                            WHERE u.state = 'open' AND u.renewed_at < clock_timestamp() - older_than)
        AND t.state <> 'deleting' ORDER BY t.tenant_id FOR KEY SHARE);
    WITH stale AS MATERIALIZED (
      SELECT u.tenant_id, u.event_id FROM usage_events u
       WHERE u.state = 'open' AND u.renewed_at < clock_timestamp() - older_than AND u.tenant_id = ANY (live)
       ORDER BY u.tenant_id, u.event_id LIMIT at_most FOR UPDATE SKIP LOCKED),
    ended AS (
      UPDATE usage_events u SET outcome = 'crashed', state = 'settled', settled_at = clock_timestamp()
        FROM stale s WHERE u.tenant_id = s.tenant_id AND u.event_id = s.event_id RETURNING u AS row)
    SELECT coalesce(array_agg(e.row), '{}') INTO closed FROM ended e;
    PERFORM add_usage(closed, '{}');
    RETURN cardinality(closed);
  END $$;

REVOKE ALL ON FUNCTION add_usage, record_usage, close_orphans FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_usage, close_orphans TO atrium_app;
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
_BEFORE = ("chunks", "documents", "api_keys", "tenant_configs", "audit_heads", "audit_events")
_LEDGER = ("usage_events", "usage_by_day", "usage_by_user", "usage_by_user_month")

_DOWN = """
DROP FUNCTION record_usage, close_orphans, add_usage;
DROP POLICY locked_by_functions ON tenants;
DROP TABLE usage_events, usage_by_day, usage_by_user, usage_by_user_month, prices;
"""


def _purge(tables: tuple[str, ...]) -> str:
    return _PURGE.format(tables=", ".join(f"'{table}'" for table in tables))


def upgrade() -> None:
    op.execute(_TABLES)
    for table in (*_LEDGER, "prices"):
        op.execute(_SECURED.format(table=table))
    for table in _LEDGER:
        op.execute(_OF_TENANTS.format(table=table))
    op.execute(_POLICIES)
    op.execute(_RECORD)
    op.execute(_purge((*_BEFORE, *_LEDGER)))


def downgrade() -> None:
    op.execute(_purge(_BEFORE))
    op.execute(_DOWN)
