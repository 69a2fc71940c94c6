-- $1 id
select id, link_id, user_id, event_type, at, details
from events
where id = $1
union all
select id, link_id, user_id, 'click', at, details
from clicks
where id = $1
