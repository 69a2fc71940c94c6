-- Arrays: $1 link, $2 dimension, $3 day, $4 value; those of them that there are
select link_id, day, value
from unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::text[]) as asked (link_id, dimension, day, value)
join link_shares using (link_id, dimension, day, value)
