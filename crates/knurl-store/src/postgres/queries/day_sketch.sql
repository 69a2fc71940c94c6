-- Arrays: $1 link, $2 day. What there is of them.
select link_id, day, sketch, agents::text
from unnest($1::bigint[], $2::bigint[]) as asked (link_id, day)
join link_days using (link_id, day)
