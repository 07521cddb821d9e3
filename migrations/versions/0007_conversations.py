"""Conversations: what a user asked in a session and what the answer was as it was told.

A turn is written by `record_turns`, many tenants' in one transaction, each at most once. `revision` only ever grows,
also over a conversation that was removed and begun again: a copy elsewhere is older than another if its revision is
lower. An erasure outlives the requests that were under way when somebody asked for it, so that none of them brings back
what was erased.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLES = """
CREATE SEQUENCE conversation_revisions;

CREATE TABLE conversations (
  tenant_id    text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  user_id      text NOT NULL,
  session_id   text NOT NULL,
  revision     bigint NOT NULL,
  turns        integer NOT NULL,
  summary      text NOT NULL DEFAULT '',
  summarised   integer NOT NULL DEFAULT 0,
  summary_from timestamptz,
  created_at   timestamptz NOT NULL,
  last_at      timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, user_id, session_id)
);
CREATE INDEX conversations_by_time ON conversations (tenant_id, last_at);
CREATE INDEX conversations_by_session ON conversations (tenant_id, session_id);
COMMENT ON COLUMN conversations.turns IS 'The number of the last turn; older ones may be gone.';
COMMENT ON COLUMN conversations.summarised IS
  'The summary is of the turns up to here; summary_from: when the first was asked.';

CREATE TABLE conversation_turns (
  tenant_id         text NOT NULL,
  user_id           text NOT NULL,
  session_id        text NOT NULL,
  number            integer NOT NULL,
  turn_id           text NOT NULL,
  request_id        text NOT NULL,
  question          text NOT NULL,
  answer            text NOT NULL,
  state             text NOT NULL CHECK (state IN ('answered', 'refused', 'broken', 'left')),
  route             text NOT NULL,
  citations         jsonb NOT NULL,
  prompt_tokens     bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  at                timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, user_id, session_id, number),
  UNIQUE (tenant_id, turn_id),
  FOREIGN KEY (tenant_id, user_id, session_id) REFERENCES conversations ON DELETE CASCADE
);
CREATE INDEX conversation_turns_by_time ON conversation_turns (tenant_id, at);
COMMENT ON COLUMN conversation_turns.at IS 'When it was asked.';
COMMENT ON COLUMN conversation_turns.answer IS 'As it was told; of one that broke off, what was told.';

CREATE TABLE conversation_erasures (
  tenant_id  text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  user_id    text NOT NULL,
  session_id text NOT NULL,
  erased_at  timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, user_id, session_id)
);
COMMENT ON TABLE conversation_erasures IS
  'What was asked before is not to be written any more; an empty session_id stands for all of the user''s.';
"""
_NEW = ("conversation_turns", "conversations", "conversation_erasures")

_SECURED = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON {table}
  USING (tenant_id = current_setting('app.tenant_id', true))
  WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
CREATE POLICY for_functions ON {table} TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO atrium_app;
"""

# Locks, in this order: the tenants, the users (which an erasure holds alone), the conversations in order of their key.
_FUNCTIONS = """
CREATE FUNCTION record_turns(entries jsonb) RETURNS jsonb
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  DECLARE
    told record;
    asked timestamptz;
    held record;
    known integer;
    result jsonb := '{}';
  BEGIN
    PERFORM FROM tenants t WHERE t.tenant_id IN (SELECT e ->> 'tenant_id' FROM jsonb_array_elements(entries) e)
      AND t.state <> 'deleting' ORDER BY t.tenant_id FOR KEY SHARE;
    PERFORM pg_advisory_xact_lock_shared(u.key) FROM (
      SELECT DISTINCT hashtextextended('atrium conversations ' || e.tenant_id || ' ' || e.user_id, 0) AS key
        FROM jsonb_to_recordset(entries) AS e(tenant_id text, user_id text) ORDER BY 1) u;
    FOR told IN
      SELECT e.* FROM jsonb_to_recordset(entries) AS e(tenant_id text, tenant_born timestamptz, user_id text,
          session_id text, turn_id text, request_id text, question text, answer text, state text, route text,
          citations jsonb, prompt_tokens bigint, completion_tokens bigint, age_s double precision, place integer,
          summary text, summarised integer, summary_from timestamptz)
        JOIN tenants t ON t.tenant_id = e.tenant_id AND t.created_at = coalesce(e.tenant_born, t.created_at)
         AND t.state <> 'deleting'
       ORDER BY e.tenant_id, e.user_id, e.session_id, e.place
    LOOP
      asked := clock_timestamp() - make_interval(secs => told.age_s);
      CONTINUE WHEN EXISTS (SELECT FROM conversation_erasures x WHERE x.tenant_id = told.tenant_id
        AND x.user_id = told.user_id AND x.session_id IN ('', told.session_id) AND x.erased_at >= asked);
      INSERT INTO conversations (tenant_id, user_id, session_id, revision, turns, created_at, last_at)
        VALUES (told.tenant_id, told.user_id, told.session_id, 0, 0, asked, asked) ON CONFLICT DO NOTHING;
      SELECT c.revision, c.turns INTO held FROM conversations c WHERE c.tenant_id = told.tenant_id
        AND c.user_id = told.user_id AND c.session_id = told.session_id FOR UPDATE;
      SELECT n.number INTO known FROM conversation_turns n
        WHERE n.tenant_id = told.tenant_id AND n.turn_id = told.turn_id;
      IF FOUND THEN
        result := result || jsonb_build_object(told.turn_id, jsonb_build_array(known, held.revision, -1));
        CONTINUE;
      END IF;
      INSERT INTO conversation_turns VALUES (told.tenant_id, told.user_id, told.session_id, held.turns + 1,
        told.turn_id, told.request_id, told.question, told.answer, told.state, told.route, told.citations,
        told.prompt_tokens, told.completion_tokens, asked);
      UPDATE conversations c SET revision = nextval('conversation_revisions'), turns = held.turns + 1,
          last_at = greatest(c.last_at, asked),
          summary = CASE WHEN told.summarised > c.summarised THEN told.summary ELSE c.summary END,
          summary_from = CASE WHEN told.summarised > c.summarised THEN told.summary_from ELSE c.summary_from END,
          summarised = greatest(c.summarised, told.summarised)
        WHERE c.tenant_id = told.tenant_id AND c.user_id = told.user_id AND c.session_id = told.session_id;
      result := result || jsonb_build_object(told.turn_id,
        jsonb_build_array(held.turns + 1, currval('conversation_revisions'), held.revision));
    END LOOP;
    RETURN result;
  END $$;

CREATE FUNCTION oldest_turns(behind text, at_most integer)
  RETURNS TABLE (tenant_id text, born timestamptz, oldest timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
    SELECT t.tenant_id, t.created_at, o.at FROM tenants t
      CROSS JOIN LATERAL (SELECT n.at FROM conversation_turns n WHERE n.tenant_id = t.tenant_id ORDER BY n.at LIMIT 1) o
     WHERE t.tenant_id > behind AND t.state <> 'deleting' ORDER BY t.tenant_id LIMIT at_most
  $$;

CREATE FUNCTION end_erasures(older_than interval) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
  DECLARE
    ended integer;
  BEGIN
    DELETE FROM conversation_erasures e WHERE e.erased_at < clock_timestamp() - older_than;
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
  END $$;

REVOKE ALL ON FUNCTION record_turns, oldest_turns, end_erasures FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_turns, oldest_turns, end_erasures TO atrium_app;
GRANT USAGE ON SEQUENCE conversation_revisions TO atrium_app;
"""

_DOWN = """
DROP FUNCTION record_turns, oldest_turns, end_erasures;
DROP TABLE conversation_turns, conversations, conversation_erasures;
DROP SEQUENCE conversation_revisions;
"""
_LIST = "FOREACH name IN ARRAY ARRAY["
_OURS = "'conversation_turns', 'conversations', 'conversation_erasures', "


def _replace_in_purge(old: str, new: str) -> None:
    """The list of tables in `purge_tenant`, whatever the migrations before have put into it."""
    connection = op.get_bind()
    found = connection.exec_driver_sql("SELECT pg_get_functiondef('purge_tenant(integer)'::regprocedure)").scalar_one()
    if old not in found:
        raise RuntimeError("purge_tenant does not look as its migration wrote it")
    connection.exec_driver_sql(found.replace(old, new).replace("%", "%%"))


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _NEW:
        op.execute(_SECURED.format(table=table))
    op.execute(_FUNCTIONS)
    _replace_in_purge(_LIST, _LIST + _OURS)


def downgrade() -> None:
    _replace_in_purge(_LIST + _OURS, _LIST)
    op.execute(_DOWN)
