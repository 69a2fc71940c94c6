-- ?1 ?2 after, ?3 ?4 up to, ?5 limit
select link_id, hour, total, human, visitors, sketch
from link_hours
where (link_id, hour) > (?1, ?2) and (link_id, hour) <= (?3, ?4)
order by link_id, hour
limit ?5
