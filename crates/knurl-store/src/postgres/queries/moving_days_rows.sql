-- $1 $2 after, $3 $4 up to, $5 limit
select link_id, day, total, human, visitors, sketch, agents::text
from link_days
where (link_id, day) > ($1, $2) and (link_id, day) <= ($3, $4)
order by link_id, day
limit $5
