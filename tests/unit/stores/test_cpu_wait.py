"""Waiting for a processor is told where the kernel tells it."""

from __future__ import annotations

import sys

import pytest

from stores.cpu_wait import CpuWait


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells")
def test_it_grows_and_is_never_less_than_before() -> None:
    waited = CpuWait()
    first = waited.seconds()
    sum(range(100_000))
    assert 0 <= first <= waited.seconds()
    waited.close()
    assert waited.seconds() == 0
    waited.close()
