select id, name, hash, created_at, revoked_at
from keys
order by id
