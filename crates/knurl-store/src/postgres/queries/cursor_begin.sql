-- $1 spool. Two that begin the same spool at once: the second waits here for the first.
insert into cursors (spool_id, segment, "offset", seq)
values ($1, 0, 0, 0)
on conflict (spool_id) do nothing
