-- Arrays: $1 link_id, $2 hour
delete from link_hours as was
using unnest($1::bigint[], $2::bigint[]) as gone (link_id, hour)
where was.link_id = gone.link_id
  and was.hour = gone.hour
