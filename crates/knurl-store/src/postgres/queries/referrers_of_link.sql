-- $1 link (0: all links together), $2 first day, $3 last day, $4 limit
select host, sum(total)::bigint as clicks
from link_referrers
where link_id = $1 and day between $2 and $3
group by host
order by clicks desc, host
limit $4
