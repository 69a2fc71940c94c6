-- ?3 type
select count(*)
from events
where event_type = ?3
