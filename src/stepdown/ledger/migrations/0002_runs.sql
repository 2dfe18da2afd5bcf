-- Runs of several attempts a unit: what an attempt used so far, why it was made, what was noticed; ratings; what the user agreed
-- to and was told. Columns are added, never moved: a year's ledger is upgraded in milliseconds, and an older stepdown that is
-- just writing to it goes on undisturbed.

ALTER TABLE attempts ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN run TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN number INTEGER NOT NULL DEFAULT 1;
ALTER TABLE attempts ADD COLUMN cause TEXT NOT NULL DEFAULT 'first';
ALTER TABLE attempts ADD COLUMN evidence TEXT NOT NULL DEFAULT '';             -- a JSON list of lines; '' is none
ALTER TABLE attempts ADD COLUMN kept TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN so_far_input INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN so_far_output INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN so_far_cache_read INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN so_far_cache_write INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN so_far_requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN so_far_usd REAL DEFAULT 0.0;                   -- NULL is unknown
ALTER TABLE attempts ADD COLUMN so_far_ended INTEGER NOT NULL DEFAULT 0;       -- whether the agent has said that it is done

CREATE INDEX attempts_by_unit ON attempts (project, unit_id, started);
CREATE INDEX attempts_by_pattern ON attempts (pattern, started) WHERE failure IS NULL AND input IS NOT NULL;

-- Every rating ever given. Of a unit's ratings the last one holds; the others are history.
CREATE TABLE ratings (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    unit_type TEXT NOT NULL,
    unit_id TEXT NOT NULL,
    word TEXT NOT NULL,
    tier TEXT NOT NULL,
    pattern TEXT NOT NULL,
    model TEXT NOT NULL,
    at REAL NOT NULL
);

CREATE INDEX ratings_by_unit ON ratings (project, unit_type, unit_id);

CREATE VIEW ratings_that_hold AS
SELECT * FROM ratings WHERE id IN (SELECT max(id) FROM ratings GROUP BY project, unit_type, unit_id);

CREATE TABLE consents (
    project TEXT NOT NULL,
    what TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (project, what)
) WITHOUT ROWID;

CREATE TABLE said (
    key TEXT PRIMARY KEY,
    at REAL NOT NULL
) WITHOUT ROWID;
