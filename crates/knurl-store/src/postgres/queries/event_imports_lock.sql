-- Imports of events go one after the other: ids of clicks are unique only because somebody looks.
select pg_advisory_xact_lock(1802400364, 5)
