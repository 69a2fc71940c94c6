-- ?1 id
select 1
from users
where id = ?1
