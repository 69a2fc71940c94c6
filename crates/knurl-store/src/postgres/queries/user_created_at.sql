-- $1 ids
select id, created_at
from users
where id = any($1)
