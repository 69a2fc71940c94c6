-- $1 link, $2 user, $3 at, $4 details: a click from a client
with counted as (
  select knurl_count('clicks', 1)
)
insert into clicks (id, link_id, user_id, at, details, source)
select knurl_event_ids(1), $1, $2, $3, $4, 1
from counted
returning id
