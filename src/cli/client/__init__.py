"""A client of the router's public API, on the standard library alone: it starts fast."""
