-- What a team needs: whose token an attempt came with; what each person used of each model on each day; people; what administrators
-- did; and what gateways have set aside. An older stepdown that is just writing
-- goes on undisturbed: its attempts are nobody's, and are counted.

ALTER TABLE attempts ADD COLUMN person TEXT NOT NULL DEFAULT '';   -- '' is nobody's

-- Finished attempts, added up per day and over all days (''): what budgets are compared with.
CREATE TABLE spending (
    day TEXT NOT NULL,                        -- of its start, in UTC: '2026-03-16'; '' is all days together
    project TEXT NOT NULL,
    person TEXT NOT NULL,
    model TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    usd REAL NOT NULL,
    tokens INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (day, project, person, model)
) WITHOUT ROWID;

INSERT INTO spending
SELECT
    CASE WHEN whole THEN '' ELSE date(CAST(started AS INTEGER), 'unixepoch') END, project, '', model, count(*),
    count(*) - count(cost_usd), total(cost_usd), coalesce(sum(input + output + cache_read + cache_write), 0), coalesce(sum(requests), 0)
FROM attempts, (SELECT 0 AS whole UNION ALL SELECT 1)
WHERE finished IS NOT NULL
GROUP BY 1, 2, 4;

CREATE TRIGGER attempts_into_spending AFTER UPDATE OF finished ON attempts
WHEN OLD.finished IS NULL AND NEW.finished IS NOT NULL
BEGIN
    INSERT INTO spending
    SELECT
        days.day, NEW.project, NEW.person, NEW.model, 1, NEW.cost_usd IS NULL, coalesce(NEW.cost_usd, 0.0),
        coalesce(NEW.input + NEW.output + NEW.cache_read + NEW.cache_write, 0), coalesce(NEW.requests, 0)
    FROM (SELECT date(CAST(NEW.started AS INTEGER), 'unixepoch') AS day UNION ALL SELECT '') AS days
    WHERE true                                -- without it SQLite reads ON CONFLICT as a join's ON
    ON CONFLICT (day, project, person, model) DO UPDATE SET
        attempts = attempts + 1,
        unpriced = unpriced + excluded.unpriced,
        usd = usd + excluded.usd,
        tokens = tokens + excluded.tokens,
        requests = requests + excluded.requests;
END;

-- People, each with one token. The token itself is nowhere: what is kept cannot be turned back into it.
CREATE TABLE people (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,              -- SHA-256 of the token
    page TEXT NOT NULL UNIQUE,                -- SHA-256 of what a browser that has brought the token keeps
    settings TEXT NOT NULL,                      -- JSON: role, projects, budgets, ceiling, mode, models
    created REAL NOT NULL,
    expires REAL,                             -- NULL is never
    revoked REAL,                             -- NULL is not
    seen REAL                                 -- about when it was used last; NULL is never
) WITHOUT ROWID;

-- What administrators did; nothing is ever changed or deleted here.
CREATE TABLE acts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    act TEXT NOT NULL,                           -- 'token created'
    what TEXT NOT NULL                           -- of whom or of what, in one line
);

-- What time it is: where several machines share a ledger, its own clock is the one that they agree on.
CREATE VIEW ledger_clock AS SELECT (julianday('now') - 2440587.5) * 86400.0 AS now;

-- Gateways that are there, until `until`: what they have running is theirs, on whatever machine they are.
CREATE TABLE gateways (
    name TEXT PRIMARY KEY,
    until REAL NOT NULL                         -- by the ledger's own clock
) WITHOUT ROWID;

-- What gateways have set aside of budgets for requests that are under way or about to come, until they say so again or `until`.
CREATE TABLE holds (
    holder TEXT NOT NULL,
    scope TEXT NOT NULL,                      -- what the budgets are of: a project, a person, a model, or all
    measure TEXT NOT NULL,                    -- 'usd', 'tokens' or 'requests'
    amount REAL NOT NULL,
    until REAL NOT NULL,                      -- by the ledger's own clock
    PRIMARY KEY (holder, scope, measure)
) WITHOUT ROWID;
