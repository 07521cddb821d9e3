"""Another embedding model: the new vectors wait beside those that are searched, until a tenant has them all.

They lie in the chunks' own rows, so that they are deleted, purged and kept apart by tenant as those are.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_UP = """
ALTER TABLE tenants ADD reembedding_owner text, ADD reembedding_until timestamptz;
COMMENT ON COLUMN tenants.reembedding_until IS 'Until then that replica embeds the tenant anew; others leave it to it.';

ALTER TABLE chunks ADD next_model text, ADD next_embedding bytea,
  ADD CHECK ((next_model IS NULL) = (next_embedding IS NULL));
COMMENT ON COLUMN chunks.next_embedding IS 'As `embedding`, of `next_model`: takes its place when the tenant switches.';
CREATE INDEX chunks_by_model ON chunks (tenant_id, model);

CREATE POLICY for_reembedding ON chunks FOR SELECT TO CURRENT_USER USING (true);
CREATE FUNCTION tenants_behind(of_model text, after text, at_most integer)
  RETURNS TABLE (tenant_id text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public
  AS $$
    SELECT t.tenant_id FROM tenants t
     WHERE t.tenant_id COLLATE "C" > after AND t.state <> 'deleting'
       AND (EXISTS (SELECT FROM chunks c WHERE c.tenant_id = t.tenant_id AND c.model < of_model)
            OR EXISTS (SELECT FROM chunks c WHERE c.tenant_id = t.tenant_id AND c.model > of_model))
     ORDER BY t.tenant_id COLLATE "C" LIMIT at_most
  $$;
REVOKE ALL ON FUNCTION tenants_behind FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_behind TO atrium_app;
"""

_DOWN = """
DROP FUNCTION tenants_behind;
DROP POLICY for_reembedding ON chunks;
DROP INDEX chunks_by_model;
ALTER TABLE chunks DROP next_model, DROP next_embedding;
ALTER TABLE tenants DROP reembedding_owner, DROP reembedding_until;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
