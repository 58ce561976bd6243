-- Drops the partitions of the days before this one (UTC), and gives how many. It runs with its owner's rights, so that the role that does it now
-- and then needs none to drop tables.
CREATE FUNCTION drop_events_before(day date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    dropped bigint := 0;
    partition_name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mooring events partitions'));
    FOR partition_name IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'events'::regclass AND child.relname ~ '^events_[0-9]{8}$'
            AND to_date(substr(child.relname, 8), 'YYYYMMDD') < day
    LOOP
        EXECUTE format('DROP TABLE %I', partition_name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
REVOKE EXECUTE ON FUNCTION drop_events_before(date) FROM PUBLIC;
