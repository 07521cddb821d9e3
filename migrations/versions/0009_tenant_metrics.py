"""What tenants' chats were like, by hour and by day, so that a tenant's own numbers need no CloudWatch.

The service role reads its tenant's rows. Writing crosses tenants (a router writes those of all at once), and so does
the platform's look at the fleet: both go through functions, of which the second gives sums alone.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE tenant_metrics (
  tenant_id         text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  step              text NOT NULL CHECK (step IN ('hour', 'day')),
  at                timestamptz NOT NULL,
  route             text NOT NULL,
  requests          bigint NOT NULL,
  prompt_tokens     bigint NOT NULL,
  cached_tokens     bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  cost_nano_usd     bigint NOT NULL,
  refusals          jsonb NOT NULL,
  throttled         jsonb NOT NULL,
  errors            jsonb NOT NULL,
  latency           bigint[] NOT NULL,
  first_token       bigint[] NOT NULL,
  PRIMARY KEY (tenant_id, step, at, route)
) WITH (fillfactor = 70);
CREATE INDEX tenant_metrics_at ON tenant_metrics (step, at);
COMMENT ON COLUMN tenant_metrics.latency IS 'A histogram: requests by bucket (tenancy.metrics.Histogram).';

ALTER TABLE tenant_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_metrics FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON tenant_metrics
  USING (tenant_id = current_setting('app.tenant_id', true))
  WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
CREATE POLICY for_functions ON tenant_metrics TO CURRENT_USER USING (true);
GRANT SELECT ON tenant_metrics TO atrium_app;
"""

_FUNCTIONS = """
CREATE FUNCTION add_counts(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog, public
  AS $$ SELECT coalesce(array_agg(coalesce(x, 0) + coalesce(y, 0) ORDER BY n), '{}')
          FROM ROWS FROM (unnest(a), unnest(b)) WITH ORDINALITY AS t(x, y, n) $$;

CREATE FUNCTION add_counters(a jsonb, b jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
  SET search_path = pg_catalog, public
  AS $$ SELECT coalesce(jsonb_object_agg(key, total), '{}')
          FROM (SELECT key, sum(value::bigint) AS total
                  FROM (SELECT * FROM jsonb_each_text(a) UNION ALL SELECT * FROM jsonb_each_text(b)) AS both_of
                 GROUP BY key) AS sums $$;

CREATE AGGREGATE sum_counts(bigint[]) (sfunc = add_counts, stype = bigint[], initcond = '{}');
CREATE AGGREGATE sum_counters(jsonb) (sfunc = add_counters, stype = jsonb, initcond = '{}');

CREATE FUNCTION add_tenant_metrics(samples jsonb) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  DECLARE live tenants[];
  BEGIN
    live := ARRAY(SELECT t FROM tenants t
      WHERE t.tenant_id IN (SELECT s ->> 'tenant_id' FROM jsonb_array_elements(samples) s) AND t.state <> 'deleting'
      ORDER BY t.tenant_id FOR KEY SHARE);
    INSERT INTO tenant_metrics AS kept
    SELECT s.tenant_id, s.step, s.at, s.route, s.requests, s.prompt_tokens, s.cached_tokens, s.completion_tokens,
           s.cost_nano_usd, s.refusals, s.throttled, s.errors, s.latency, s.first_token
      FROM jsonb_to_recordset(samples) AS s(tenant_id text, born timestamptz, step text, at timestamptz, route text,
             requests bigint, prompt_tokens bigint, cached_tokens bigint, completion_tokens bigint,
             cost_nano_usd bigint, refusals jsonb, throttled jsonb, errors jsonb, latency bigint[],
             first_token bigint[])
      JOIN unnest(live) t ON t.tenant_id = s.tenant_id AND t.created_at = s.born
     ORDER BY s.tenant_id, s.step, s.at, s.route
    ON CONFLICT (tenant_id, step, at, route) DO UPDATE SET
      requests = kept.requests + excluded.requests,
      prompt_tokens = kept.prompt_tokens + excluded.prompt_tokens,
      cached_tokens = kept.cached_tokens + excluded.cached_tokens,
      completion_tokens = kept.completion_tokens + excluded.completion_tokens,
      cost_nano_usd = kept.cost_nano_usd + excluded.cost_nano_usd,
      refusals = add_counters(kept.refusals, excluded.refusals),
      throttled = add_counters(kept.throttled, excluded.throttled),
      errors = add_counters(kept.errors, excluded.errors),
      latency = add_counts(kept.latency, excluded.latency),
      first_token = add_counts(kept.first_token, excluded.first_token);
  END $$;

-- `by` names columns of this list alone; what is not asked for is null.
CREATE FUNCTION fleet_metrics(first timestamptz, until timestamptz, by text[], at_most integer)
  RETURNS TABLE (tenant text, at timestamptz, route text, requests bigint, prompt_tokens bigint, cached_tokens bigint,
    completion_tokens bigint, cost_nano_usd bigint, refusals jsonb, throttled jsonb, errors jsonb, latency bigint[],
    first_token bigint[])
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
    SELECT CASE WHEN 'tenant' = ANY (by) THEN m.tenant_id END, CASE WHEN 'at' = ANY (by) THEN m.at END,
           CASE WHEN 'route' = ANY (by) THEN m.route END,
           sum(m.requests)::bigint, sum(m.prompt_tokens)::bigint, sum(m.cached_tokens)::bigint,
           sum(m.completion_tokens)::bigint, sum(m.cost_nano_usd)::bigint,
           -- A rule's reason is its tenant's own text, and the platform's look is at numbers.
           jsonb_build_object('all', sum((SELECT sum(value::bigint) FROM jsonb_each_text(m.refusals)))),
           sum_counters(m.throttled), sum_counters(m.errors), sum_counts(m.latency), sum_counts(m.first_token)
      FROM tenant_metrics m WHERE m.step = 'day' AND m.at >= first AND m.at < until
     GROUP BY 1, 2, 3 ORDER BY 2, 4 DESC, 1, 3 LIMIT at_most
  $$;

CREATE FUNCTION forget_tenant_metrics(hours_before timestamptz, days_before timestamptz, at_most integer)
  RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  DECLARE removed integer;
  BEGIN
    DELETE FROM tenant_metrics WHERE ctid = ANY (ARRAY(SELECT m.ctid FROM tenant_metrics m
      WHERE (m.step = 'hour' AND m.at < hours_before) OR (m.step = 'day' AND m.at < days_before)
      LIMIT at_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
  END $$;

REVOKE ALL ON FUNCTION add_tenant_metrics, fleet_metrics, forget_tenant_metrics FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_tenant_metrics, fleet_metrics, forget_tenant_metrics TO atrium_app;
"""

_DOWN = """
DROP FUNCTION forget_tenant_metrics, fleet_metrics, add_tenant_metrics;
DROP AGGREGATE sum_counts(bigint[]);
DROP AGGREGATE sum_counters(jsonb);
DROP FUNCTION add_counts, add_counters;
DROP TABLE tenant_metrics;
"""
_LIST = "FOREACH name IN ARRAY ARRAY["
_OURS = "'tenant_metrics', "


def _replace_in_purge(old: str, new: str) -> None:
    """The list of tables in `purge_tenant`, whatever the migrations before have put into it."""
    connection = op.get_bind()
    found = connection.exec_driver_sql("SELECT pg_get_functiondef('purge_tenant(integer)'::regprocedure)").scalar_one()
    if old not in found:
        raise RuntimeError("purge_tenant does not look as its migration wrote it")
    connection.exec_driver_sql(found.replace(old, new).replace("%", "%%"))


def upgrade() -> None:
    op.execute(_TABLE)
    op.execute(_FUNCTIONS)
    _replace_in_purge(_LIST, _LIST + _OURS)


def downgrade() -> None:
    _replace_in_purge(_LIST + _OURS, _LIST)
    op.execute(_DOWN)
