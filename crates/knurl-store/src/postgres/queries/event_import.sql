-- $1 id, $2 link, $3 user, $4 type, $5 at, $6 details: arrays. Inserts nothing where an id is taken.
insert into events (id, link_id, user_id, event_type, at, details)
select *
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])
on conflict do nothing
