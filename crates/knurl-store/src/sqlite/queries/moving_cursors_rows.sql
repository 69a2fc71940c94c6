-- ?1 after, ?2 up to, ?3 limit. All of them are one group
select 0, spool_id, segment, offset, seq
from cursors
where 0 > ?1 and 0 <= ?2
order by spool_id
limit ?3
