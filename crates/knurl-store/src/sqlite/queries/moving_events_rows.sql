-- ?1 after, ?2 up to, ?3 limit
select id, link_id, user_id, event_type, at, details, source
from events
where id > ?1 and id <= ?2
order by id
limit ?3
