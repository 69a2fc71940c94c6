-- Arrays: $1 and so on: the columns
insert into audit_acceptances (id, at, reason, events, roll_ups)
select id, at, reason, events, roll_ups
from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
  as new (id, at, reason, events, roll_ups)
on conflict (id) do update
set at = excluded.at,
  reason = excluded.reason,
  events = excluded.events,
  roll_ups = excluded.roll_ups
