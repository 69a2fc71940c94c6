-- ?1 and so on: the columns
insert into events (id, link_id, user_id, event_type, at, details, source)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
on conflict (id) do update
set link_id = excluded.link_id,
  user_id = excluded.user_id,
  event_type = excluded.event_type,
  at = excluded.at,
  details = excluded.details,
  source = excluded.source
