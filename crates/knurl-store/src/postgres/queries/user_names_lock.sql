-- Renames, deletes and imports go one after the other: a twin must find the key's holder as it is, and not as it was.
select pg_advisory_xact_lock(1802400364, 4)
