-- $1 spool, $2 segment, $3 offset, $4 seq
update cursors
set segment = $2, "offset" = $3, seq = $4
where spool_id = $1
