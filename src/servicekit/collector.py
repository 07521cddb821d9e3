"""The garbage collector of a process that serves: its searches for cycles stop every thread and every stream."""

from __future__ import annotations

import gc

COLLECT_AFTER = 10_000
"""Objects that are held more than at the last search for cycles, before the next: a few requests at once hold more than
Python's own 700, and what they held is freed without any search."""


def keep_what_is_there() -> None:
    """To be called once all is made that lives as long as the process. The garbage collector leaves it alone from now
    on: to walk all of it, modules and schemas, takes 100 ms, in which no thread runs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
