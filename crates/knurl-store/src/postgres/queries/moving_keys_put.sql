-- Arrays: $1 and so on: the columns
insert into keys (id, name, hash, created_at, revoked_at)
select id, name, hash, created_at, revoked_at
from unnest($1::bigint[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[])
  as new (id, name, hash, created_at, revoked_at)
on conflict (id) do update
set name = excluded.name,
  hash = excluded.hash,
  created_at = excluded.created_at,
  revoked_at = excluded.revoked_at
