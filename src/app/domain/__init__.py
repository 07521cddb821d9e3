"""Decisions of a turn: values in, decision out. No I/O and no clock."""
