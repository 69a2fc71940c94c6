-- Arrays: $1 link, $2 hour. What there is of them; an hour has no agents.
select link_id, hour, sketch, null::text
from unnest($1::bigint[], $2::bigint[]) as asked (link_id, hour)
join link_hours using (link_id, hour)
