-- ?1 link, ?2 hour
select sketch
from link_hours
where link_id = ?1 and hour = ?2
