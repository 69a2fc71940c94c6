-- ?1 spool, ?2 segment, ?3 offset, ?4 seq
insert into cursors (spool_id, segment, offset, seq)
values (?1, ?2, ?3, ?4)
on conflict (spool_id) do update
set segment = excluded.segment,
  offset = excluded.offset,
  seq = excluded.seq
