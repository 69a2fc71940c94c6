-- Arrays: $1 link, $2 day, $3 host
delete from link_referrers as was
using unnest($1::bigint[], $2::bigint[], $3::text[]) as gone (link_id, day, host)
where was.link_id = gone.link_id
  and was.day = gone.day
  and was.host = gone.host
