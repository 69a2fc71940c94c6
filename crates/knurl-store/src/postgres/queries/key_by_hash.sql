-- $1 hash
select id, name, hash, created_at, revoked_at
from keys
where hash = $1
