"""Numbers as they are told."""

from __future__ import annotations

import pytest

from cli.sizes import tell_bytes, tell_count


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (41_024_000, "41.0 MB"),
        (5_000_000_000_000_000, "5000.0 TB"),
    ],
)
def test_bytes_have_the_unit_that_suits_them(count: int, told: str) -> None:
    assert tell_bytes(count) == told


def test_one_is_one_and_more_are_more() -> None:
    assert [tell_count(count, "row") for count in (0, 1, 12_345)] == ["0 rows", "1 row", "12,345 rows"]
