-- Attempts, and two tables of sums that triggers keep in step with them, so that a status line over 100,000 attempts reads a
-- handful of rows. An attempt is inserted unfinished and finished by one UPDATE, imported ones included: the triggers hang on
-- that UPDATE alone. Money is US dollars, times are seconds since the epoch, days are UTC. NULL is unknown.

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    unit_type TEXT NOT NULL,
    unit_id TEXT NOT NULL,
    title TEXT NOT NULL,
    tier TEXT NOT NULL,                       -- '' is unknown
    model TEXT NOT NULL,
    ceiling TEXT NOT NULL,
    downgraded INTEGER NOT NULL,
    pattern TEXT NOT NULL,
    agent TEXT NOT NULL,
    source TEXT NOT NULL,                     -- 'run', or where it was imported from
    started REAL NOT NULL,
    reserved_usd REAL NOT NULL,
    expected_input INTEGER NOT NULL,
    expected_output INTEGER NOT NULL,
    expected_cache_read INTEGER NOT NULL,
    expected_cache_write INTEGER NOT NULL,
    finished REAL,                            -- NULL while it runs, or when its process died
    failure TEXT,
    message TEXT,
    verified INTEGER,
    input INTEGER,                            -- the four token counts are known together or not at all
    output INTEGER,
    cache_read INTEGER,
    cache_write INTEGER,
    cost_usd REAL,
    cost_source TEXT,
    ceiling_cost_usd REAL,
    requests INTEGER,
    reason TEXT NOT NULL,
    decision TEXT NOT NULL                    -- last, so that long receipts do not slow down reading the rest
);

CREATE INDEX attempts_by_time ON attempts (started);
CREATE INDEX attempts_by_project ON attempts (project, started);
CREATE INDEX attempts_running ON attempts (started) WHERE finished IS NULL;
CREATE UNIQUE INDEX attempts_imported ON attempts (source, project, unit_type, unit_id, started) WHERE source <> 'run';

-- Finished attempts, added up along each of five ways to group them. One row per group and way, instead of one per combination
-- of all five, keeps a year's report at a few dozen rows; the price is five small writes for an attempt.
CREATE TABLE sums (
    grouped_by TEXT NOT NULL,                 -- 'tier', 'type', 'model', 'agent' or 'day'
    project TEXT NOT NULL,
    key TEXT NOT NULL,                        -- the group; a day is '2026-03-16'
    attempts INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    unverified INTEGER NOT NULL,
    downgraded INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    usd REAL NOT NULL,
    ceiling_usd REAL NOT NULL,
    comparable_usd REAL NOT NULL,
    input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (grouped_by, project, key)
) WITHOUT ROWID;

CREATE TRIGGER attempts_into_sums AFTER UPDATE OF finished ON attempts
WHEN OLD.finished IS NULL AND NEW.finished IS NOT NULL
BEGIN
    INSERT INTO sums
    SELECT
        ways.grouped_by, NEW.project, ways.key,
        1,
        NEW.failure IS NOT NULL,
        NEW.failure IS NULL AND NEW.verified IS NULL,
        NEW.downgraded,
        NEW.cost_usd IS NULL,
        coalesce(NEW.cost_usd, 0.0),
        CASE WHEN NEW.cost_usd IS NULL THEN 0.0 ELSE coalesce(NEW.ceiling_cost_usd, 0.0) END,
        CASE WHEN NEW.ceiling_cost_usd IS NULL THEN 0.0 ELSE coalesce(NEW.cost_usd, 0.0) END,
        coalesce(NEW.input, 0), coalesce(NEW.output, 0), coalesce(NEW.cache_read, 0), coalesce(NEW.cache_write, 0),
        coalesce(NEW.requests, 0)
    FROM (
        SELECT 'tier' AS grouped_by, NEW.tier AS key
        UNION ALL SELECT 'type', NEW.unit_type
        UNION ALL SELECT 'model', NEW.model
        UNION ALL SELECT 'agent', NEW.agent
        UNION ALL SELECT 'day', date(CAST(NEW.started AS INTEGER), 'unixepoch')
    ) AS ways
    WHERE true                                -- without it SQLite reads ON CONFLICT as a join's ON
    ON CONFLICT (grouped_by, project, key) DO UPDATE SET
        attempts = attempts + excluded.attempts,
        failed = failed + excluded.failed,
        unverified = unverified + excluded.unverified,
        downgraded = downgraded + excluded.downgraded,
        unpriced = unpriced + excluded.unpriced,
        usd = usd + excluded.usd,
        ceiling_usd = ceiling_usd + excluded.ceiling_usd,
        comparable_usd = comparable_usd + excluded.comparable_usd,
        input = input + excluded.input,
        output = output + excluded.output,
        cache_read = cache_read + excluded.cache_read,
        cache_write = cache_write + excluded.cache_write,
        requests = requests + excluded.requests;
END;

-- Successful attempts with known tokens, per what expectations are asked for.
CREATE TABLE usage (
    unit_type TEXT NOT NULL,
    model TEXT NOT NULL,
    units INTEGER NOT NULL,
    input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    counted INTEGER NOT NULL,                 -- of `units`, those whose requests are known
    PRIMARY KEY (unit_type, model)
) WITHOUT ROWID;

CREATE TRIGGER attempts_into_usage AFTER UPDATE OF finished ON attempts
WHEN OLD.finished IS NULL AND NEW.finished IS NOT NULL AND NEW.failure IS NULL AND NEW.input IS NOT NULL AND NEW.model <> ''
BEGIN
    INSERT INTO usage VALUES (
        NEW.unit_type, NEW.model, 1, NEW.input, NEW.output, NEW.cache_read, NEW.cache_write,
        coalesce(NEW.requests, 0), NEW.requests IS NOT NULL
    )
    ON CONFLICT (unit_type, model) DO UPDATE SET
        units = units + 1,
        input = input + excluded.input,
        output = output + excluded.output,
        cache_read = cache_read + excluded.cache_read,
        cache_write = cache_write + excluded.cache_write,
        requests = requests + excluded.requests,
        counted = counted + excluded.counted;
END;

CREATE TABLE evidence (
    pattern TEXT NOT NULL,
    tier TEXT NOT NULL,
    at REAL NOT NULL,
    project TEXT NOT NULL,
    unit_id TEXT NOT NULL,
    source TEXT NOT NULL,
    model TEXT NOT NULL,
    success INTEGER NOT NULL,
    weight REAL NOT NULL,
    PRIMARY KEY (pattern, tier, at, project, unit_id, source)
) WITHOUT ROWID;

CREATE TABLE blocks (
    model TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE plan_meters (
    provider TEXT NOT NULL,
    time_window TEXT NOT NULL,
    used REAL NOT NULL,
    resets REAL,
    at REAL NOT NULL,
    PRIMARY KEY (provider, time_window)
) WITHOUT ROWID;
