-- $1 $2 after, $3 $4 up to, $5 limit
select link_id, day, host, total
from link_referrers
where (link_id, day) > ($1, $2) and (link_id, day) <= ($3, $4)
order by link_id, day, host
limit $5
