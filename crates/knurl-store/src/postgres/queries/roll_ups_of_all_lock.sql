-- Held by whoever adds to the rows of all links together, which every batch has to.
select pg_advisory_xact_lock(1802400364, 6)
