-- ?1 id
select created_at
from deleted_users
where id = ?1
