-- ?1 id, ?2 link, ?3 user, ?4 type, ?5 at, ?6 details, ?7 source; inserts nothing where the id is taken
insert into events (id, link_id, user_id, event_type, at, details, source)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
on conflict (id) do nothing
