"""Whether the sums that are kept with the ledger are those of its rows, over everything that stands in it."""

from __future__ import annotations

import psycopg

_STATEMENT = """
WITH kept AS (
  SELECT tenant_id, {at}, {dimensions}, requests, prompt_tokens, cached_tokens, completion_tokens, cost_nano_usd
    FROM {table} WHERE requests <> 0),
counted AS (
  SELECT tenant_id, date_trunc('{at}', started_at AT TIME ZONE 'UTC')::date, {dimensions}, count(*), sum(prompt_tokens),
         sum(cached_tokens), sum(completion_tokens), sum(cost_nano_usd)
    FROM usage_events WHERE state = 'settled' GROUP BY 1, 2, {dimensions})
SELECT (SELECT count(*) FROM (TABLE kept EXCEPT TABLE counted) AS a),
       (SELECT count(*) FROM (TABLE counted EXCEPT TABLE kept) AS b)
"""
SUMS = {
    "usage_by_day": ("day", "route, model, price_version"),
    "usage_by_user": ("day", "user_id, route, model"),
    "usage_by_user_month": ("month", "user_id, route, model"),
}
"""The tables, and what each is grouped by."""


def differences(owner_url: str, table: str) -> tuple[int, int]:
    """How many sums are kept that no rows make, and how many that rows make are not kept."""
    at, dimensions = SUMS[table]
    statement = _STATEMENT.format(table=table, at=at, dimensions=dimensions)
    with psycopg.connect(owner_url) as owner:
        row = owner.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0], row[1]
