-- $1 spool. Whoever else would move this cursor waits, and then sees where it is.
select segment, "offset", seq
from cursors
where spool_id = $1
for update
