-- $1 first id, $2 link, $3 user, $4 type, $5 at, $6 details: an event for each
insert into events (id, link_id, user_id, event_type, at, details)
select $1 + ord - 1, $2::bigint, $3::bigint, $4::text, $5::bigint, details
from unnest($6::text[]) with ordinality as given (details, ord)
