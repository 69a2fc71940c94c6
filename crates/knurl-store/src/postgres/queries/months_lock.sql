-- Two nodes that would make the same month: the second waits, and finds it made.
select pg_advisory_xact_lock(1802400364, 7)
