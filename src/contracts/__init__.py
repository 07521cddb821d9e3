"""Value types that cross a process boundary. Standard library and pydantic only; no I/O, no clock."""
