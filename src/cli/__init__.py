"""The `atrium` command: the whole stack on one machine, and a client of its public API."""
