-- ?1 id; deleted ones too
select domain, short_code, created_at
from links
where id = ?1
