-- ?1 link, ?2 user, ?3 type, ?4 after id, ?5 limit, ?6 offset
select id, link_id, user_id, event_type, at, details
from events
where link_id = ?1
  and (?2 is null or user_id = ?2)
  and (?3 is null or event_type = ?3)
  and id > ?4
order by id
limit ?5 offset ?6
