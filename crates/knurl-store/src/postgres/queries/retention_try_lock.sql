-- One node at a time removes clicks; the others have something better to do than to wait.
select pg_try_advisory_xact_lock(1802400364, 8)
