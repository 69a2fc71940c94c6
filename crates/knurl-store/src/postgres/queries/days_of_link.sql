-- $1 link (0: all links together), $2 first day, $3 last day
select day, total, human, visitors
from link_days
where link_id = $1 and day between $2 and $3
order by day
