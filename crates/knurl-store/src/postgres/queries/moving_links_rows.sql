-- $1 after, $2 up to, $3 limit
select id, domain, short_code, twin, target, title, is_active::integer::bigint, status::bigint, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where id > $1 and id <= $2
order by id
limit $3
