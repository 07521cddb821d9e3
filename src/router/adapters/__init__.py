"""The router's ports over Valkey and HTTP."""
