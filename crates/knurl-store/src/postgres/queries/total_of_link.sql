-- $1 links
select link_id, total, human, last_click_at
from link_totals
where link_id = any($1)
