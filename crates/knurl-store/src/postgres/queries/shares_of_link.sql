-- $1 link (0: all links together), $2 dimension, $3 first day, $4 last day, $5 limit
select value, sum(total)::bigint as clicks
from link_shares
where link_id = $1 and dimension = $2 and day between $3 and $4
group by value
order by clicks desc, value
limit $5
