"""Backups of a data directory: all state that is the truth, in one checked file, and back."""
