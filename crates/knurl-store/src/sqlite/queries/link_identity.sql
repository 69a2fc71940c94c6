-- ?1 id; deleted ones too
select domain, short_code, created_at, is_active and deleted_at is null
from links
where id = ?1
