-- Arrays: $1 id, $2 link, $3 user, $4 at, $5 details, $6 source
insert into clicks (id, link_id, user_id, at, details, source)
select id, link_id, user_id, at, details, source::smallint
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[])
  as new (id, link_id, user_id, at, details, source)
on conflict (link_id, id, at) do update
set user_id = excluded.user_id,
  details = excluded.details,
  source = excluded.source
