-- $1 link, $2 user, $3 type (no click), $4 at, $5 details
insert into events (id, link_id, user_id, event_type, at, details)
values (knurl_event_ids(1), $1, $2, $3, $4, $5)
returning id
