-- ?1 link
select total, human, last_click_at
from link_totals
where link_id = ?1
