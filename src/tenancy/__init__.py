"""Tenants, their versioned config and their keys: domain, stores and the live cache."""
