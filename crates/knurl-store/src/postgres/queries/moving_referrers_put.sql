-- Arrays: $1 link, $2 day, $3 host, $4 total
insert into link_referrers (link_id, day, host, total)
select link_id, day, host, total
from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])
  as new (link_id, day, host, total)
on conflict (link_id, day, host) do update
set total = excluded.total
