-- Finds the events that are over; in Postgres they are in partitions by day.
CREATE INDEX events_by_time ON events (at);
