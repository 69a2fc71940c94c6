-- $1 id, $2 link, $3 user, $4 at, $5 details: arrays
with counted as (
  select knurl_count('clicks', cardinality($1::bigint[]))
)
insert into clicks (id, link_id, user_id, at, details, source)
select given.*, 1
from counted
cross join unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) as given
