-- Arrays: $1 and so on: the columns
insert into deleted_users (id, created_at)
select id, created_at
from unnest($1::bigint[], $2::bigint[])
  as new (id, created_at)
on conflict (id) do update
set created_at = excluded.created_at
