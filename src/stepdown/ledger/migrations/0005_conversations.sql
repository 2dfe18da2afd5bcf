-- Of what an attempt cost, what went into writing caches anew because routing had changed the model; and what the gateway knows
-- of each conversation, so that it goes on after a restart. Columns are added, never moved: an older stepdown that is just writing
-- to the ledger goes on undisturbed.

ALTER TABLE attempts ADD COLUMN cache_loss_usd REAL NOT NULL DEFAULT 0.0;
ALTER TABLE attempts ADD COLUMN so_far_cache_loss_usd REAL NOT NULL DEFAULT 0.0;

-- The same index with one more column: whether routing pays is still judged without reading an attempt.
DROP INDEX attempts_accounts;
CREATE INDEX attempts_accounts ON attempts (
    project, pattern, started, id,
    source, unit_type, unit_id, ceiling, downgraded, cause, finished, failure, cost_usd, ceiling_cost_usd, cache_loss_usd
);

CREATE TABLE conversations (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    at REAL NOT NULL,                         -- when its last request came
    state BLOB NOT NULL,                      -- the gateway's own record; nothing else reads it
    PRIMARY KEY (project, id)
);

CREATE INDEX conversations_by_time ON conversations (at);
