-- $1 after, $2 up to, $3 limit. All of them are one group
select 0::bigint, spool_id, segment, "offset", seq
from cursors
where 0::bigint > $1 and 0::bigint <= $2
order by spool_id
limit $3
