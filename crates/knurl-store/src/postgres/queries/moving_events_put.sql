-- Arrays: $1 id, $2 link, $3 user, $4 type, $5 at, $6 details
insert into events (id, link_id, user_id, event_type, at, details)
select id, link_id, user_id, event_type, at, details
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])
  as new (id, link_id, user_id, event_type, at, details)
on conflict (id) do update
set link_id = excluded.link_id,
  user_id = excluded.user_id,
  event_type = excluded.event_type,
  at = excluded.at,
  details = excluded.details
