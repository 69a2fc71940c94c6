-- $1 links, $2 dimension, $3 days (arrays but for the dimension): how many different values there are
select link_id, day, (
  select count(*)
  from link_shares s
  where s.link_id = asked.link_id and s.dimension = $2 and s.day = asked.day
)
from unnest($1::bigint[], $3::bigint[]) as asked (link_id, day)
