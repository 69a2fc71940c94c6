-- $1 spool
select segment, "offset", seq
from cursors
where spool_id = $1
