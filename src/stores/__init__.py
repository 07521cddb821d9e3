"""The tenant-scoped doors to PostgreSQL and Valkey: the only place that opens a connection."""
