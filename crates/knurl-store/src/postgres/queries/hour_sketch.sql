-- Arrays: $1 link, $2 hour
select link_id, hour, sketch
from unnest($1::bigint[], $2::bigint[]) as asked (link_id, hour)
join link_hours using (link_id, hour)
where sketch is not null
