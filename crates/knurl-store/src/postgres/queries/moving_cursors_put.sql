-- Arrays: $1 spool, $2 segment, $3 offset, $4 seq
insert into cursors (spool_id, segment, "offset", seq)
select *
from unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[])
on conflict (spool_id) do update
set segment = excluded.segment,
  "offset" = excluded."offset",
  seq = excluded.seq
