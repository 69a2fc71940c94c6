-- Arrays: $1 link, $2 day, $3 host, $4 total
insert into link_referrers as was (link_id, day, host, total)
select *
from unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])
on conflict (link_id, day, host) do update
set total = was.total + excluded.total
