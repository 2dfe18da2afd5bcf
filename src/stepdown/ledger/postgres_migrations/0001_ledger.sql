-- The ledger of a team, as SQLite's six migrations leave it (ledger/migrations), in PostgreSQL's words. Money is US dollars, times
-- are seconds since the epoch, days are UTC. NULL is unknown. Text is compared byte by byte (COLLATE "C"), as SQLite does, so that
-- every ledger puts everything in the same order.

CREATE TABLE attempts (
    id bigint PRIMARY KEY,                              -- one above the highest: one transaction at a time writes
    project text COLLATE "C" NOT NULL,
    unit_type text COLLATE "C" NOT NULL,
    unit_id text COLLATE "C" NOT NULL,
    title text NOT NULL,
    tier text COLLATE "C" NOT NULL,                     -- '' is unknown
    model text COLLATE "C" NOT NULL,
    ceiling text COLLATE "C" NOT NULL,
    downgraded integer NOT NULL,
    pattern text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,                   -- 'run', or where it was imported from
    started double precision NOT NULL,
    reserved_usd double precision NOT NULL,
    expected_input bigint NOT NULL,
    expected_output bigint NOT NULL,
    expected_cache_read bigint NOT NULL,
    expected_cache_write bigint NOT NULL,
    finished double precision,                          -- NULL while it runs, or when its process died
    failure text COLLATE "C",
    message text,
    verified integer,
    input bigint,                                       -- the four token counts are known together or not at all
    output bigint,
    cache_read bigint,
    cache_write bigint,
    cost_usd double precision,
    cost_source text,
    ceiling_cost_usd double precision,
    requests bigint,
    reason text NOT NULL,
    decision text NOT NULL,
    key text NOT NULL DEFAULT '',
    run text NOT NULL DEFAULT '',
    number integer NOT NULL DEFAULT 1,
    cause text COLLATE "C" NOT NULL DEFAULT 'first',
    evidence text NOT NULL DEFAULT '',                  -- a JSON list of lines; '' is none
    kept text NOT NULL DEFAULT '',
    so_far_input bigint NOT NULL DEFAULT 0,
    so_far_output bigint NOT NULL DEFAULT 0,
    so_far_cache_read bigint NOT NULL DEFAULT 0,
    so_far_cache_write bigint NOT NULL DEFAULT 0,
    so_far_requests bigint NOT NULL DEFAULT 0,
    so_far_usd double precision DEFAULT 0.0,            -- NULL is unknown
    so_far_ended integer NOT NULL DEFAULT 0,            -- whether the agent has said that it is done
    cache_loss_usd double precision NOT NULL DEFAULT 0.0,
    so_far_cache_loss_usd double precision NOT NULL DEFAULT 0.0
);

CREATE INDEX attempts_by_time ON attempts (started, id);
CREATE INDEX attempts_by_project ON attempts (project, started, id);
CREATE INDEX attempts_by_unit ON attempts (project, unit_id, started);
CREATE INDEX attempts_accounts ON attempts (project, pattern, started, id);
CREATE INDEX attempts_by_pattern ON attempts (pattern, started, id) WHERE failure IS NULL AND input IS NOT NULL;
CREATE INDEX attempts_running ON attempts (started) WHERE finished IS NULL;
CREATE INDEX attempts_failed ON attempts (project, started, id) WHERE failure IS NOT NULL;
CREATE UNIQUE INDEX attempts_imported ON attempts (source, project, unit_type, unit_id, started) WHERE source <> 'run';

CREATE FUNCTION attempt_numbered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.id := coalesce((SELECT max(id) FROM attempts), 0) + 1;
    RETURN NEW;
END $$;

CREATE TRIGGER attempt_numbered BEFORE INSERT ON attempts
FOR EACH ROW WHEN (NEW.id IS NULL) EXECUTE FUNCTION attempt_numbered();

-- Finished attempts, added up along each of five ways to group them.
CREATE TABLE sums (
    grouped_by text COLLATE "C" NOT NULL,               -- 'tier', 'type', 'model', 'agent' or 'day'
    project text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,                      -- the group; a day is '2026-03-16'
    attempts bigint NOT NULL,
    failed bigint NOT NULL,
    unverified bigint NOT NULL,
    downgraded bigint NOT NULL,
    unpriced bigint NOT NULL,
    usd double precision NOT NULL,
    ceiling_usd double precision NOT NULL,
    comparable_usd double precision NOT NULL,
    input bigint NOT NULL,
    output bigint NOT NULL,
    cache_read bigint NOT NULL,
    cache_write bigint NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (grouped_by, project, key)
);

-- Successful attempts with known tokens, per what expectations are asked for.
CREATE TABLE usage (
    unit_type text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    units bigint NOT NULL,
    input bigint NOT NULL,
    output bigint NOT NULL,
    cache_read bigint NOT NULL,
    cache_write bigint NOT NULL,
    requests bigint NOT NULL,
    counted bigint NOT NULL,                            -- of `units`, those whose requests are known
    PRIMARY KEY (unit_type, model)
);

-- Finished attempts added up per day and kind of work, and over all days ('').
CREATE TABLE accounts (
    project text COLLATE "C" NOT NULL,
    day text COLLATE "C" NOT NULL,
    pattern text COLLATE "C" NOT NULL,
    tier text COLLATE "C" NOT NULL,
    ceiling text COLLATE "C" NOT NULL,
    attempts bigint NOT NULL,
    failed bigint NOT NULL,
    moved bigint NOT NULL,
    stepped_up bigint NOT NULL,
    rescued bigint NOT NULL,
    unpriced bigint NOT NULL,
    usd double precision NOT NULL,
    unknown bigint NOT NULL,
    compared bigint NOT NULL,
    compared_usd double precision NOT NULL,
    ceiling_usd double precision NOT NULL,
    failed_usd double precision NOT NULL,
    cache_usd double precision NOT NULL,
    tokens bigint NOT NULL,
    cached bigint NOT NULL,
    PRIMARY KEY (project, day, pattern, tier, ceiling)
);

CREATE FUNCTION attempt_ended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    started_on text := to_char(to_timestamp(floor(NEW.started)) AT TIME ZONE 'UTC', 'YYYY-MM-DD');
    failed boolean := NEW.failure IS NOT NULL;
    up boolean := NEW.cause IN ('step up', 'configured');
    below boolean := NEW.downgraded <> 0;
    cost double precision := coalesce(NEW.cost_usd, 0.0);
    loss double precision := CASE WHEN NEW.cost_usd IS NULL THEN 0.0 ELSE least(NEW.cost_usd, NEW.cache_loss_usd) END;
    used bigint := coalesce(NEW.input + NEW.output + NEW.cache_read + NEW.cache_write, 0);
BEGIN
    INSERT INTO sums
    SELECT
        ways.grouped_by, NEW.project, ways.key, 1, failed::integer, (NOT failed AND NEW.verified IS NULL)::integer, NEW.downgraded,
        (NEW.cost_usd IS NULL)::integer, cost,
        CASE WHEN NEW.cost_usd IS NULL THEN 0.0 ELSE coalesce(NEW.ceiling_cost_usd, 0.0) END,
        CASE WHEN NEW.ceiling_cost_usd IS NULL THEN 0.0 ELSE cost END,
        coalesce(NEW.input, 0), coalesce(NEW.output, 0), coalesce(NEW.cache_read, 0), coalesce(NEW.cache_write, 0),
        coalesce(NEW.requests, 0)
    FROM (VALUES
        ('tier', NEW.tier), ('type', NEW.unit_type), ('model', NEW.model), ('agent', NEW.agent), ('day', started_on)
    ) AS ways (grouped_by, key)
    ON CONFLICT (grouped_by, project, key) DO UPDATE SET
        attempts = sums.attempts + 1,
        failed = sums.failed + excluded.failed,
        unverified = sums.unverified + excluded.unverified,
        downgraded = sums.downgraded + excluded.downgraded,
        unpriced = sums.unpriced + excluded.unpriced,
        usd = sums.usd + excluded.usd,
        ceiling_usd = sums.ceiling_usd + excluded.ceiling_usd,
        comparable_usd = sums.comparable_usd + excluded.comparable_usd,
        input = sums.input + excluded.input,
        output = sums.output + excluded.output,
        cache_read = sums.cache_read + excluded.cache_read,
        cache_write = sums.cache_write + excluded.cache_write,
        requests = sums.requests + excluded.requests;

    IF NOT failed AND NEW.input IS NOT NULL AND NEW.model <> '' THEN
        INSERT INTO usage VALUES (
            NEW.unit_type, NEW.model, 1, NEW.input, NEW.output, NEW.cache_read, NEW.cache_write, coalesce(NEW.requests, 0),
            (NEW.requests IS NOT NULL)::integer
        )
        ON CONFLICT (unit_type, model) DO UPDATE SET
            units = usage.units + 1,
            input = usage.input + excluded.input,
            output = usage.output + excluded.output,
            cache_read = usage.cache_read + excluded.cache_read,
            cache_write = usage.cache_write + excluded.cache_write,
            requests = usage.requests + excluded.requests,
            counted = usage.counted + excluded.counted;
    END IF;

    INSERT INTO accounts
    SELECT
        NEW.project, days.day, CASE WHEN NEW.pattern = '' THEN NEW.unit_type ELSE NEW.pattern END, NEW.tier, NEW.ceiling,
        1, failed::integer, (below AND NEW.cause = 'first')::integer, up::integer, (up AND NOT failed)::integer,
        (NEW.cost_usd IS NULL)::integer, cost,
        (below AND (NEW.cost_usd IS NULL OR (NOT failed AND NEW.ceiling_cost_usd IS NULL)))::integer,
        (below AND NOT failed AND NEW.cost_usd IS NOT NULL AND coalesce(NEW.ceiling_cost_usd, 0.0) > 0)::integer,
        CASE WHEN below AND NOT failed AND NEW.ceiling_cost_usd IS NOT NULL THEN cost - loss ELSE 0.0 END,
        CASE WHEN below AND NOT failed AND NEW.cost_usd IS NOT NULL THEN coalesce(NEW.ceiling_cost_usd, 0.0) ELSE 0.0 END,
        CASE WHEN below AND failed THEN cost - loss ELSE 0.0 END,
        loss, used, coalesce(NEW.cache_read, 0)
    FROM (VALUES (started_on), ('')) AS days (day)
    ON CONFLICT (project, day, pattern, tier, ceiling) DO UPDATE SET
        attempts = accounts.attempts + 1,
        failed = accounts.failed + excluded.failed,
        moved = accounts.moved + excluded.moved,
        stepped_up = accounts.stepped_up + excluded.stepped_up,
        rescued = accounts.rescued + excluded.rescued,
        unpriced = accounts.unpriced + excluded.unpriced,
        usd = accounts.usd + excluded.usd,
        unknown = accounts.unknown + excluded.unknown,
        compared = accounts.compared + excluded.compared,
        compared_usd = accounts.compared_usd + excluded.compared_usd,
        ceiling_usd = accounts.ceiling_usd + excluded.ceiling_usd,
        failed_usd = accounts.failed_usd + excluded.failed_usd,
        cache_usd = accounts.cache_usd + excluded.cache_usd,
        tokens = accounts.tokens + excluded.tokens,
        cached = accounts.cached + excluded.cached;
    RETURN NULL;
END $$;

CREATE TRIGGER attempt_ended AFTER UPDATE OF finished ON attempts
FOR EACH ROW WHEN (OLD.finished IS NULL AND NEW.finished IS NOT NULL) EXECUTE FUNCTION attempt_ended();

CREATE TABLE evidence (
    pattern text COLLATE "C" NOT NULL,
    tier text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    project text COLLATE "C" NOT NULL,
    unit_id text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    model text NOT NULL,
    success integer NOT NULL,
    weight double precision NOT NULL,
    PRIMARY KEY (pattern, tier, at, project, unit_id, source)
);

CREATE TABLE forgotten (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    pattern text COLLATE "C",                           -- a unit type stands for all its tags; NULL is all
    project text COLLATE "C",                           -- NULL is all
    at double precision NOT NULL
);

-- Every rating ever given. Of a unit's ratings the last one holds; the others are history.
CREATE TABLE ratings (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    project text COLLATE "C" NOT NULL,
    unit_type text COLLATE "C" NOT NULL,
    unit_id text COLLATE "C" NOT NULL,
    word text NOT NULL,
    tier text NOT NULL,
    pattern text NOT NULL,
    model text NOT NULL,
    at double precision NOT NULL
);

CREATE INDEX ratings_by_unit ON ratings (project, unit_type, unit_id, id);

CREATE VIEW ratings_that_hold AS
SELECT * FROM ratings WHERE id IN (SELECT max(id) FROM ratings GROUP BY project, unit_type, unit_id);

CREATE TABLE consents (
    project text COLLATE "C" NOT NULL,
    what text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    PRIMARY KEY (project, what)
);

CREATE TABLE said (
    key text COLLATE "C" PRIMARY KEY,
    at double precision NOT NULL
);

CREATE TABLE blocks (
    model text COLLATE "C" PRIMARY KEY,
    reason text NOT NULL,
    until double precision NOT NULL
);

CREATE TABLE plan_meters (
    provider text COLLATE "C" NOT NULL,
    time_window text COLLATE "C" NOT NULL,
    used double precision NOT NULL,
    resets double precision,
    at double precision NOT NULL,
    PRIMARY KEY (provider, time_window)
);

CREATE TABLE conversations (
    project text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    at double precision NOT NULL,                       -- when its last request came
    state bytea NOT NULL,                               -- the gateway's own record; nothing else reads it
    PRIMARY KEY (project, id)
);

CREATE INDEX conversations_by_time ON conversations (at, project, id);

-- A sum that is 0.0 over nothing, as SQLite has it.
CREATE AGGREGATE total(double precision) (SFUNC = float8pl, STYPE = double precision, INITCOND = '0');

-- How often anything was written; changed in the transaction that writes.
CREATE TABLE written (times bigint NOT NULL);
INSERT INTO written VALUES (0);
