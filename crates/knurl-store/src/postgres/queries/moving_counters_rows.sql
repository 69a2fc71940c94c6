-- $1 after, $2 up to, $3 limit. Those that cannot be counted again
select 0::bigint, name, sum(value)::bigint
from counters
where 0::bigint > $1 and 0::bigint <= $2
  and (name in ('clicks_external', 'clicks_purged', 'clicks_undecodable', 'clicks_unlinked', 'links_emptied_at') or name like 'clicks_undecodable of %')
group by name
having sum(value) <> 0
order by name
limit $3
