-- $1 after id, $2 limit, $3 offset
select id, username, email, created_at
from users
where id > $1
order by id
limit $2 offset $3
