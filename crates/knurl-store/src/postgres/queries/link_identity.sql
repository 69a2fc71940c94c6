-- $1 ids; deleted ones too
select id, domain, short_code, created_at, is_active and deleted_at is null
from links
where id = any($1)
