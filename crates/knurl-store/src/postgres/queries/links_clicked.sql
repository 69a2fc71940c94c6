-- Arrays: $1 id. Deleted ones too
select id, short_code, owner
from links
where id = any($1::bigint[])
