-- $1 owner, $2 now, $3 details, $4 first event id: one `deleted` event for each link of the user
insert into events (id, link_id, user_id, event_type, at, details)
select $4 + row_number() over (order by id) - 1, id, owner, 'deleted', $2, $3
from links
where owner = $1
  and owner is not null
  and deleted_at is null
