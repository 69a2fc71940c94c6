-- Waits until every event whose id was given is there, and keeps others from being given any until the transaction ends.
select pg_advisory_xact_lock(1802400364, 3)
