-- $1 link (0: all links together), $2 first day, $3 last day, $4 limit, $5 dimension. Byte by byte, whatever the database's collation is.
select part.value, sum(part.times::bigint)::bigint as clicks
from link_days
cross join jsonb_each_text(agents -> $5::text) as part (value, times)
where link_id = $1 and day between $2 and $3
group by part.value
order by clicks desc, part.value using ~<~
limit $4
