-- ?1 link, ?2 user, ?3 type
select count(*)
from events
where link_id = ?1
  and (?2 is null or user_id = ?2)
  and (?3 is null or event_type = ?3)
