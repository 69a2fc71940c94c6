-- ?1 after, ?2 up to, ?3 limit. Those that cannot be counted again
select 0, name, value
from counters
where 0 > ?1 and 0 <= ?2
  and (name in ('clicks_external', 'clicks_purged', 'clicks_undecodable', 'clicks_unlinked', 'links_emptied_at') or name like 'clicks_undecodable of %')
  and value <> 0
order by name
limit ?3
