-- ?1 link, ?2 user, ?3 type, ?4 at, ?5 details, ?6 source (null: no click, 0: spool, 1: import or client)
insert into events (link_id, user_id, event_type, at, details, source)
values (?1, ?2, ?3, ?4, ?5, ?6)
