-- Arrays: $1 link, $2 day
select link_id, day, sketch
from unnest($1::bigint[], $2::bigint[]) as asked (link_id, day)
join link_days using (link_id, day)
where sketch is not null
