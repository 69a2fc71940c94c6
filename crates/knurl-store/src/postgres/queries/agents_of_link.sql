-- $1 link (0: all links together), $2 first day, $3 last day, $4 limit, $5 dimension
select value collate "C" as value, sum(total::bigint)::bigint as clicks
from link_days
cross join jsonb_each_text(agents -> $5::text) as part (value, total)
where link_id = $1 and day between $2 and $3
group by value
order by clicks desc, value
limit $4
