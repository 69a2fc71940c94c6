-- One move at a time, for as long as this session lives
select pg_try_advisory_lock(1802400364, 9)
