-- ?1 above this id, ?2 up to this one
select id, domain, short_code, twin, state, target, is_active, status, owner, expires_at, version, check_sum
from links
where id > ?1 and id <= ?2
order by id
limit ?3
