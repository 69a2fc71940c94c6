-- Arrays: $1 and so on: the columns
insert into users (id, username, email, username_key, username_twin, email_key, email_twin, created_at)
select id, username, email, username_key, username_twin, email_key, email_twin, created_at
from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[])
  as new (id, username, email, username_key, username_twin, email_key, email_twin, created_at)
on conflict (id) do update
set username = excluded.username,
  email = excluded.email,
  username_key = excluded.username_key,
  username_twin = excluded.username_twin,
  email_key = excluded.email_key,
  email_twin = excluded.email_twin,
  created_at = excluded.created_at
