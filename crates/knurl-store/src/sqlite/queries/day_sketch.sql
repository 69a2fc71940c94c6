-- ?1 link, ?2 day
select sketch
from link_days
where link_id = ?1 and day = ?2
