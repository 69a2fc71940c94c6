-- ?2 user, ?3 type
select count(*)
from events
where user_id = ?2
  and (?3 is null or event_type = ?3)
