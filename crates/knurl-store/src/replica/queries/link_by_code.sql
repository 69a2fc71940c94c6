-- ?1 domain, ?2 short_code
select id, domain, short_code, twin, state, target, is_active, status, owner, expires_at, version, check_sum
from links
where domain = ?1 and short_code = ?2 and twin = 0
