-- ?1 after, ?2 up to, ?3 limit
select id, created_at
from deleted_users
where id > ?1 and id <= ?2
order by id
limit ?3
