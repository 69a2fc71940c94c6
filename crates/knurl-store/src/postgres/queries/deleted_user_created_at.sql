-- $1 ids
select id, created_at
from deleted_users
where id = any($1)
