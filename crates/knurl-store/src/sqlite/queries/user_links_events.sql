-- ?1 owner, ?2 now, ?3 details: one `deleted` event for each link of the user
insert into events (link_id, user_id, event_type, at, details)
select id, owner, 'deleted', ?2, ?3
from links
where owner = ?1
  and owner is not null
  and deleted_at is null
order by id
