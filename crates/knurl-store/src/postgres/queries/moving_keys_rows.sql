-- $1 after, $2 up to, $3 limit
select id, name, hash, created_at, revoked_at
from keys
where id > $1 and id <= $2
order by id
limit $3
