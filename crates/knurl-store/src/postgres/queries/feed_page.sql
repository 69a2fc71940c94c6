-- $1 above this id, $2 limit
select id, domain, short_code, twin, target, is_active, status, owner, expires_at, deleted_at is not null, version
from links
where id > $1
order by id
limit $2
