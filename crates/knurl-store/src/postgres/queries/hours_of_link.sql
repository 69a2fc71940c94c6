-- $1 link (0: all links together), $2 first hour, $3 last hour
select hour, total, human, visitors
from link_hours
where link_id = $1 and hour between $2 and $3
order by hour
