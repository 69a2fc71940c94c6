-- $1 id
select id, username, email, created_at
from users
where id = $1
