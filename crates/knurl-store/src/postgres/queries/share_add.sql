-- Arrays: $1 link, $2 dimension, $3 day, $4 value, $5 total
insert into link_shares as was (link_id, dimension, day, value, total)
select *
from unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::text[], $5::bigint[])
on conflict (link_id, dimension, day, value) do update
set total = was.total + excluded.total
