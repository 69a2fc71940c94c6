-- $1 id. Nobody else changes it until the transaction ends.
select id, username, email, created_at
from users
where id = $1
for update
