"""The audit log's hash chain, recomputed away from the server that keeps it."""
