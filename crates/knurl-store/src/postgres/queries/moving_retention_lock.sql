-- As `retention_try_lock`, but of the session: no month goes while the database is being copied
select pg_try_advisory_lock(1802400364, 8)
