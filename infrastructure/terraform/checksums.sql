-- One line a tenant and table: how many rows, and a sum over them that no order changes. Run on two copies of a database
-- as the owner of the schema, the answers are equal if and only if (but for chance) their rows are:
--   psql -X -q -A -F ' ' -t "$MIGRATION_DATABASE_URL" -f checksums.sql
-- The owner too sees one tenant's rows at a time; what is of no tenant is told under "-". Nothing is changed.
BEGIN ISOLATION LEVEL REPEATABLE READ;
CREATE TEMPORARY TABLE checksum (tenant text, name text, rows bigint, sum numeric) ON COMMIT DROP;
DO $$
DECLARE
  found record;
  of_tenant text;
  insertion CONSTANT text := 'INSERT INTO checksum SELECT %L, %L, count(*), '
    'coalesce(sum((''x'' || left(md5(t::text), 16))::bit(64)::bigint::numeric), 0) FROM public.%I t';
BEGIN
  PERFORM set_config('app.platform', 'on', true);
  FOR found IN
    SELECT c.relname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id') AS tenants
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  LOOP
    IF NOT found.tenants THEN
      EXECUTE format(insertion, '-', found.relname, found.relname);
      CONTINUE;
    END IF;
    PERFORM set_config('app.tenant_id', '', true);
    EXECUTE format(
      insertion || ' WHERE tenant_id IS NULL OR tenant_id NOT IN (SELECT x.tenant_id FROM public.tenants x)',
      '-', found.relname, found.relname
    );
    FOR of_tenant IN SELECT tenant_id FROM public.tenants LOOP
      PERFORM set_config('app.tenant_id', of_tenant, true);
      EXECUTE format(insertion || ' WHERE tenant_id = %L', of_tenant, found.relname, found.relname, of_tenant);
    END LOOP;
  END LOOP;
END
$$;
SELECT tenant, name, rows, sum FROM checksum ORDER BY tenant, name;
COMMIT;
