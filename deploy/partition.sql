-- Turns `attempts` into a table partitioned by the month of `started`, in place; run again, it adds the months that are missing.
--
--     psql --set ON_ERROR_STOP=1 --file partition.sql "$STEPDOWN_LEDGER"
--
-- What is there becomes the first partition as it is, up to the end of this month: no row is copied, one index is built. Then
-- comes a partition for each month of two years; what belongs to none of them is taken by the default one, so that nothing is
-- ever refused. Run it once a year: what the default one has collected is moved into the months that are added. Gateways may go
-- on meanwhile, what they cannot write waits in their memory. Programs notice nothing, and later migrations find one table.
--
-- A month that nobody needs any more: ALTER TABLE attempts DETACH PARTITION attempts_2026_03; what it used stays in the sums.
-- As the user that owns the tables; PostgreSQL 13 or later.

BEGIN;

-- As a stepdown that migrates and as one that writes: nobody is in the middle of anything while tables change.
SELECT pg_advisory_xact_lock(1937007729);
SELECT pg_advisory_xact_lock(1937007728);

-- The first moment of a day, as `started` has it.
CREATE OR REPLACE FUNCTION stepdown_moment(day date) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT extract(epoch FROM day::timestamp AT TIME ZONE 'UTC')::double precision
$$;

DO $$
DECLARE
    -- Whatever migrations have put on the table until now is put on the new one.
    indexes text[] := ARRAY(
        SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'attempts'::regclass AND NOT indisprimary
    );
    triggers text[] := ARRAY(
        SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'attempts'::regclass AND NOT tgisinternal
    );
    owner text := (SELECT relowner::regrole FROM pg_class WHERE oid = 'attempts'::regclass);
    grants text[] := ARRAY(
        SELECT format('GRANT %s ON attempts TO %s', privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
        FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = 'attempts'::regclass
    );
    next_month double precision := stepdown_moment((date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month')::date);
    one text;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'attempts'::regclass) = 'p' THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM pg_depend WHERE refobjid = 'attempts'::regclass AND classid = 'pg_rewrite'::regclass) THEN
        RAISE EXCEPTION 'a view reads attempts: it would stay with the first partition; drop it, and make it again afterwards';
    END IF;

    FOR one IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'attempts'::regclass AND NOT tgisinternal LOOP
        EXECUTE format('DROP TRIGGER %I ON attempts', one);
    END LOOP;
    FOR one IN
        SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = 'attempts'::regclass AND NOT indisprimary
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', one, replace(one, 'attempts', 'attempts_first'));
    END LOOP;
    ALTER TABLE attempts DROP CONSTRAINT attempts_pkey;
    ALTER TABLE attempts RENAME TO attempts_first;

    CREATE TABLE attempts (LIKE attempts_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (started);
    -- What tells a partition has to be in the key; that a number is given once is seen to where it is given, as before.
    ALTER TABLE attempts ADD PRIMARY KEY (id, started);
    CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;
    -- By a clock that was wrong.
    WITH moved AS (DELETE FROM attempts_first WHERE started >= next_month RETURNING *)
    INSERT INTO attempts_default SELECT * FROM moved;
    EXECUTE format('ALTER TABLE attempts ATTACH PARTITION attempts_first FOR VALUES FROM (MINVALUE) TO (%s)', next_month);
    FOREACH one IN ARRAY indexes || triggers || format('ALTER TABLE attempts OWNER TO %s', owner) || grants LOOP
        EXECUTE one;  -- an index that a partition has already is taken over
    END LOOP;
END $$;

DO $$
DECLARE
    month date;
    name text;
    since double precision;
    until double precision;
BEGIN
    FOR month IN
        SELECT generate_series(this, this + interval '2 years', interval '1 month')::date
        FROM (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month' AS this) AS calendar
    LOOP
        name := 'attempts_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        since := stepdown_moment(month);
        until := stepdown_moment((month + interval '1 month')::date);
        EXECUTE format('CREATE TABLE %I (LIKE attempts INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM attempts_default WHERE started >= %s AND started < %s RETURNING *) '
            'INSERT INTO %I SELECT * FROM moved', since, until, name
        );
        EXECUTE format('ALTER TABLE attempts ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, since, until);
    END LOOP;
END $$;

COMMIT;

ANALYZE attempts;
