-- $1 ids
select id, username, email, created_at
from users
where id = any($1)
