-- Arrays: $1 link, $2 day: how many referrers are named
select link_id, day, (
  select count(*)
  from link_referrers named
  where named.link_id = asked.link_id and named.day = asked.day
)
from unnest($1::bigint[], $2::bigint[]) as asked (link_id, day)
