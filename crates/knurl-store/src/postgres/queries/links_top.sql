-- $1 first day, $2 last day, $3 limit, $4 the only link, or null
select link_id, sum(total)::bigint as clicks
from link_days
where day between $1 and $2
  and link_id <> 0
  and ($4::bigint is null or link_id = $4)
group by link_id
order by clicks desc, link_id
limit $3
