-- $1 after, $2 up to, $3 limit
select id, username, email, username_key, username_twin, email_key, email_twin, created_at
from users
where id > $1 and id <= $2
order by id
limit $3
