"""A PostgreSQL ledger of many attempts, made by SQL: a year of ten projects, with receipts as long as real ones."""

from typing import Final

from postgres_server import Cluster

PROJECT: Final = "/projects/7"
END: Final = 1_806_000_000.0
"""When the last of them began."""

_SPAN: Final = 365 * 86_400.0
_ATTEMPTS: Final = """
INSERT INTO attempts (
    id, project, unit_type, unit_id, title, tier, model, ceiling, downgraded, pattern, agent, source, started, reserved_usd,
    expected_input, expected_output, expected_cache_read, expected_cache_write, finished, failure, message, verified, input,
    output, cache_read, cache_write, cost_usd, cost_source, ceiling_cost_usd, requests, reason, decision, key, run, person
)
SELECT
    n, '/projects/' || n % 10, kind, 'M' || n / 1000 || '/S' || n / 100 % 10 || '/T' || n % 100,
    'Retry requests that time out', (ARRAY['light', 'standard', 'heavy'])[n % 3 + 1],
    (ARRAY['anthropic/claude-haiku-4-5', 'anthropic/claude-sonnet-4-6', 'anthropic/claude-opus-4-6'])[n % 3 + 1],
    'anthropic/claude-opus-4-6', (n % 3 < 2)::integer, kind || (ARRAY['', ':docs', ':tests', ':refactor'])[n / 7 % 4 + 1],
    'gateway', 'run', {end} - {span} * (1 - n / {many}.0), 0.5, 50, 2000, 200000, 9000,
    {end} - {span} * (1 - n / {many}.0) + 60,
    CASE WHEN n % 17 = 0 THEN 'quality' END, '', 1, 50, 2000 + n % 999, 200000 + n % 9999, 9000, 0.01 * (n % 100), 'reported',
    1.0, 20, 'light: 3 steps, 2 files', {receipt}, 'gateway-' || md5(n::text), 'run-' || n / 50, 'person-' || n % 100
FROM generate_series(1, {many}) AS numbers (n),
    LATERAL (
        SELECT (ARRAY['execute-task', 'plan-slice', 'complete-slice', 'research-slice', 'run-uat'])[n / 31 % 5 + 1]
    ) AS k (kind)
"""
# 3 kB that do not pack better than a real receipt does.
_RECEIPT: Final = (
    "(SELECT string_agg(md5(n::text || part::text), '\"cost_usd\": 0.0125, ') FROM generate_series(1, 56) AS p (part))"
)
# What is kept added up as attempts end, for all of them at once.
_SUMS: Final = (
    """
    INSERT INTO usage
    SELECT unit_type, model, count(*), sum(input), sum(output), sum(cache_read), sum(cache_write), sum(requests), count(*)
    FROM attempts WHERE failure IS NULL GROUP BY 1, 2
    """,
    """
    INSERT INTO spending
    SELECT
        CASE WHEN whole THEN '' ELSE to_char(to_timestamp(floor(started)) AT TIME ZONE 'UTC', 'YYYY-MM-DD') END, project,
        person, model, count(*), 0, sum(cost_usd), sum(input + output + cache_read + cache_write), sum(requests)
    FROM attempts, (VALUES (false), (true)) AS ways (whole) GROUP BY 1, 2, 3, 4
    """,
    """
    INSERT INTO evidence
    SELECT pattern, tier, started, project, unit_id, 'run', model, (failure IS NULL)::integer, 1.0
    FROM attempts WHERE id % 5 = 0 ON CONFLICT DO NOTHING
    """,
)


def fill(cluster: Cluster, database: str, many: int) -> None:
    """Put so many attempts, ended, into a ledger that is there and empty."""
    cluster.sql(_ATTEMPTS.format(many=many, end=END, span=_SPAN, receipt=_RECEIPT), database)
    for statement in _SUMS:
        cluster.sql(statement, database)
    cluster.sql("VACUUM (ANALYZE)", database)


def size(cluster: Cluster, database: str) -> tuple[int, int]:
    """Bytes on the disk: of the attempts with all that belongs to them, and of everything."""
    partitions = "SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree('attempts')"
    [(whole,)] = cluster.sql("SELECT pg_total_relation_size('attempts')", database)  # of one that has partitions, nothing
    [(attempts,)] = cluster.sql(partitions, database)
    [(everything,)] = cluster.sql("SELECT pg_database_size(current_database())", database)
    return int(whole or attempts), int(everything)
