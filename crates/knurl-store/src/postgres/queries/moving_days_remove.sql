-- Arrays: $1 link, $2 day
delete from link_days as was
using unnest($1::bigint[], $2::bigint[]) as gone (link_id, day)
where was.link_id = gone.link_id
  and was.day = gone.day
