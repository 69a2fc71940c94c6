-- Arrays: $1 link, $2 day, $3 host; those of them that there are
select link_id, day, host
from unnest($1::bigint[], $2::bigint[], $3::text[]) as asked (link_id, day, host)
join link_referrers using (link_id, day, host)
