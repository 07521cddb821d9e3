"""The tenant-scoped doors to PostgreSQL, Valkey and the object store: the only place that opens a connection."""
