-- ?1 after, ?2 up to, ?3 limit
select link_id, total, human, last_click_at
from link_totals
where link_id > ?1 and link_id <= ?2
order by link_id
limit ?3
