-- $1 id
select id, name, hash, created_at, revoked_at
from keys
where id = $1
