-- What a page over a million attempts reads: finished attempts added up per day and kind of work, and over all days, with what
-- routing did to their cost; and the attempts that failed, for whoever looks for those. Tables are added, none is changed: an older stepdown that is just
-- writing to the ledger goes on undisturbed, and its attempts are counted too.

CREATE TABLE accounts (
    project TEXT NOT NULL,
    day TEXT NOT NULL,                        -- of its start, in UTC: '2026-03-16'; '' is all days together
    pattern TEXT NOT NULL,
    tier TEXT NOT NULL,                       -- '' is unknown
    ceiling TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    moved INTEGER NOT NULL,                   -- first attempts below the ceiling
    stepped_up INTEGER NOT NULL,
    rescued INTEGER NOT NULL,                 -- of those, the ones that did the work
    unpriced INTEGER NOT NULL,
    usd REAL NOT NULL,
    unknown INTEGER NOT NULL,                 -- attempts below the ceiling that cannot be compared with it
    compared INTEGER NOT NULL,                -- attempts that did the work below the ceiling, for more than nothing there
    compared_usd REAL NOT NULL,               -- what those cost, but for writing caches anew
    ceiling_usd REAL NOT NULL,                -- what the same tokens cost at the ceiling's prices
    failed_usd REAL NOT NULL,                 -- attempts below the ceiling that failed, likewise
    cache_usd REAL NOT NULL,                  -- writing caches anew
    tokens INTEGER NOT NULL,
    cached INTEGER NOT NULL,                  -- of the tokens, those read from a cache
    PRIMARY KEY (project, day, pattern, tier, ceiling)
) WITHOUT ROWID;

-- One attempt as a line of the account, so that the trigger and the first count say the same.
CREATE VIEW attempt_accounts AS
SELECT
    id,
    project,
    date(CAST(started AS INTEGER), 'unixepoch') AS day,
    CASE WHEN pattern = '' THEN unit_type ELSE pattern END AS pattern,
    tier,
    ceiling,
    1 AS attempts,
    failure IS NOT NULL AS failed,
    downgraded AND cause = 'first' AS moved,
    cause IN ('step up', 'configured') AS stepped_up,
    cause IN ('step up', 'configured') AND failure IS NULL AS rescued,
    cost_usd IS NULL AS unpriced,
    coalesce(cost_usd, 0.0) AS usd,
    downgraded AND (cost_usd IS NULL OR (failure IS NULL AND ceiling_cost_usd IS NULL)) AS unknown,
    downgraded AND failure IS NULL AND cost_usd IS NOT NULL AND coalesce(ceiling_cost_usd, 0.0) > 0 AS compared,
    CASE WHEN downgraded AND failure IS NULL AND ceiling_cost_usd IS NOT NULL
        THEN coalesce(cost_usd - min(cost_usd, cache_loss_usd), 0.0) ELSE 0.0 END AS compared_usd,
    CASE WHEN downgraded AND failure IS NULL AND cost_usd IS NOT NULL THEN coalesce(ceiling_cost_usd, 0.0) ELSE 0.0 END
        AS ceiling_usd,
    CASE WHEN downgraded AND failure IS NOT NULL THEN coalesce(cost_usd - min(cost_usd, cache_loss_usd), 0.0) ELSE 0.0 END
        AS failed_usd,
    coalesce(min(cost_usd, cache_loss_usd), 0.0) AS cache_usd,
    coalesce(input + output + cache_read + cache_write, 0) AS tokens,
    coalesce(cache_read, 0) AS cached
FROM attempts
WHERE finished IS NOT NULL;

INSERT INTO accounts
SELECT
    project, CASE WHEN whole THEN '' ELSE day END, pattern, tier, ceiling,
    sum(attempts), sum(failed), sum(moved), sum(stepped_up), sum(rescued), sum(unpriced), sum(usd), sum(unknown), sum(compared),
    sum(compared_usd), sum(ceiling_usd), sum(failed_usd), sum(cache_usd), sum(tokens), sum(cached)
FROM attempt_accounts, (SELECT 0 AS whole UNION ALL SELECT 1)
GROUP BY 1, 2, 3, 4, 5;

CREATE TRIGGER attempts_into_accounts AFTER UPDATE OF finished ON attempts
WHEN OLD.finished IS NULL AND NEW.finished IS NOT NULL
BEGIN
    INSERT INTO accounts
    SELECT
        project, CASE WHEN whole THEN '' ELSE day END, pattern, tier, ceiling, attempts, failed, moved, stepped_up, rescued,
        unpriced, usd, unknown, compared, compared_usd, ceiling_usd, failed_usd, cache_usd, tokens, cached
    FROM attempt_accounts, (SELECT 0 AS whole UNION ALL SELECT 1) WHERE id = NEW.id
    ON CONFLICT (project, day, pattern, tier, ceiling) DO UPDATE SET
        attempts = attempts + excluded.attempts,
        failed = failed + excluded.failed,
        moved = moved + excluded.moved,
        stepped_up = stepped_up + excluded.stepped_up,
        rescued = rescued + excluded.rescued,
        unpriced = unpriced + excluded.unpriced,
        usd = usd + excluded.usd,
        unknown = unknown + excluded.unknown,
        compared = compared + excluded.compared,
        compared_usd = compared_usd + excluded.compared_usd,
        ceiling_usd = ceiling_usd + excluded.ceiling_usd,
        failed_usd = failed_usd + excluded.failed_usd,
        cache_usd = cache_usd + excluded.cache_usd,
        tokens = tokens + excluded.tokens,
        cached = cached + excluded.cached;
END;

CREATE INDEX attempts_failed ON attempts (project, started) WHERE failure IS NOT NULL;
