-- $1 ids; deleted ones too
select id, domain, short_code, created_at
from links
where id = any($1)
