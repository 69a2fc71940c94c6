-- ?1 id
select created_at
from users
where id = ?1
