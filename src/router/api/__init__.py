"""HTTP in, HTTP out: parse, call, return."""
